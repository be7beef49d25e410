"""Which part of the program may import what, and how long files and functions are."""

import ast

import pytest
import rooms
from rooms import ROOT, imported, parsed

WITH_RAY = {
    "search/ray/cluster.py",
    "search/ray/hosts.py",
    "search/ray/patches.py",
    "search/ray/preflight.py",
    "search/ray/session.py",
    "search/run/executors/ray_tune.py",
    "search/run/executors/running.py",
    "trainables/workers/rank_actors.py",
    "trainables/workers/trainable.py",
}


def importing(package: str, module: str) -> set[str]:
    """Files of a package that import a module or something inside it."""
    return {
        str(file.relative_to(ROOT))
        for file in (ROOT / package).rglob("*.py")
        if any(name == module or name.startswith(f"{module}.") for name in imported(file))
    }


@pytest.mark.parametrize("package", rooms.ORDER)
def test_no_two_files_or_rooms_import_each_other(package: str) -> None:
    assert rooms.circles(rooms.graph(package)) == []
    assert rooms.circles(rooms.rooms(package)) == []


@pytest.mark.parametrize("package", rooms.ORDER)
def test_imports_run_downwards(package: str) -> None:
    assert rooms.upward(package) == []


@pytest.mark.parametrize("package", rooms.ORDER)
def test_files_are_read_in_one_sitting_and_functions_fit_a_screen(package: str) -> None:
    assert rooms.long_files(package) == []
    assert rooms.long_functions(package) == []


def test_what_is_out_of_order_is_found() -> None:
    edges = {name: frozenset(targets) for name, targets in {"a": "b", "b": "cd", "c": "a", "d": ""}.items()}
    assert rooms.circles(edges) == [["a", "b", "c"]]
    assert rooms.circles({**edges, "c": frozenset()}) == []
    assert rooms.num_floors({**edges, "c": frozenset("d")}) == 4
    assert "trainables.session" in rooms.graph("trainables")["trainables.workers.trainable"]
    assert rooms.room_of("trainables.data.stream") == "data"


def test_the_training_does_not_know_the_search():
    assert importing("trainables", "search") == set()
    assert importing("search", "trainables")


def test_ray_is_imported_where_it_is_used_only():
    assert importing("trainables", "ray") | importing("search", "ray") == WITH_RAY


def test_the_training_knows_no_sampler_no_yaml_and_no_terminal():
    for module in ("optuna", "ruamel", "click", "yaml"):
        assert importing("trainables", module) == set()
    assert importing("trainables", "rich") == {"trainables/shards/__main__.py"}  # a program of its own


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
