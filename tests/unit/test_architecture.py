"""Which part of the program may import what."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = (
    "checkpoint",
    "data.stream",
    "data.virtual_epoch",
    "optim.ema",
    "optim.lr_schedules",
    "optim.optimizers",
    "optim.precision",
    "trainer",
)
UNWANTED = {"PIL", "click", "optuna", "pydantic", "ray", "rich", "scipy", "search", "sklearn", "tensorboard"}
WITH_RAY = {
    "search/ray/local.py",
    "search/ray/patches.py",
    "search/ray/session.py",
    "search/run/executors/ray_tune.py",
    "trainables/trainable.py",
}


@functools.cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imported(file: Path) -> set[str]:
    """Modules that a file imports anywhere in it, inside functions and for types too."""
    names: set[str] = set()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def importing(package: str, module: str) -> set[str]:
    """Files of a package that import a module or something inside it."""
    return {
        str(file.relative_to(ROOT))
        for file in (ROOT / package).rglob("*.py")
        if any(name == module or name.startswith(f"{module}.") for name in imported(file))
    }


def test_the_training_does_not_know_the_search():
    assert importing("trainables", "search") == set()
    assert importing("search", "trainables")


def test_ray_is_imported_where_it_is_used_only():
    assert importing("trainables", "ray") | importing("search", "ray") == WITH_RAY


def test_the_training_knows_no_sampler_no_yaml_and_no_terminal():
    for module in ("optuna", "ruamel", "click", "rich", "yaml"):
        assert importing("trainables", module) == set()


def test_nothing_in_the_program_loads_pickles():
    for package in ("search", "trainables"):
        for module in ("pickle", "cloudpickle", "joblib", "dill", "shelve"):
            assert importing(package, module) == set()
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(parsed(file)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load"):
                    safely = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False"}
                    keywords = [ast.unparse(keyword) for keyword in node.keywords]
                    assert safely[ast.unparse(node.func)] in keywords, file


def test_the_trainer_and_its_parts_need_torch_numpy_and_safetensors_only():
    code = f"import sys, {', '.join(f'trainables.{part}' for part in PARTS)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"torch", "numpy", "safetensors", "trainables"} <= loaded
    assert loaded & UNWANTED == set()
