"""`python3 -m benchmarks.gpu.bare [ARGUMENTS]`: the checks on a machine that has torch and no network.

Joins the files of build/gpu-wheels, which `make gpu-wheels` gathered elsewhere, verifies their sums, installs
them into build/gpu-venv beside the machine's own torch, and makes the checks with these arguments. What is
installed already is not installed again. Needs only the standard library.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WHEELS, VENV, JOINED = (ROOT / "build" / name for name in ("gpu-wheels", "gpu-venv", "gpu-joined"))
LIST = "wheels.json"


def main() -> None:
    listed = read_list(WHEELS)
    wheels = join(WHEELS, listed, JOINED)
    python = environment(VENV)
    install(python, wheels, VENV)
    os.chdir(ROOT)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    os.execv(python, [str(python), "-m", "benchmarks.gpu.run", *sys.argv[1:]])


def read_list(folder: Path) -> dict[str, dict]:
    """By name the sum and the parts of each wheel."""
    found = sorted(folder.glob(f"*/{LIST}"))
    if not found:
        raise SystemExit(
            f"{folder} has no batch with a {LIST}; `make gpu-wheels` gathers them, and all are needed"
        )
    texts = {path.read_text(encoding="utf-8") for path in found}
    if len(texts) > 1:
        raise SystemExit(f"the batches in {folder} were gathered at different times; carry all of one time")
    return json.loads(texts.pop())


def join(folder: Path, listed: dict[str, dict], out: Path) -> list[Path]:
    """Write each wheel whole, unless it is there; SystemExit where a part lacks or a sum is another."""
    out.mkdir(parents=True, exist_ok=True)
    wheels = []
    for name, expected in sorted(listed.items()):
        wheel = out / name
        wheels.append(wheel)
        if wheel.is_file() and _sum(wheel.read_bytes()) == expected["sha256"]:
            continue
        content = b"".join(_read(folder, part) for part in expected["parts"])
        if _sum(content) != expected["sha256"]:
            raise SystemExit(
                f"{name} has SHA-256 {_sum(content)}; it must be {expected['sha256']}: carry it again"
            )
        wheel.write_bytes(content)
    return wheels


def environment(folder: Path) -> Path:
    """The Python of an environment that sees this one's packages, torch among them."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(
            [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", str(folder)], check=True
        )
    if not _imports(python, "torch"):
        torch = importlib.util.find_spec("torch")
        if torch is None or not torch.submodule_search_locations:
            raise SystemExit(
                f"{sys.executable} has no torch; name the Python that has: that one -m benchmarks.gpu.bare"
            )
        # This Python is itself of an environment, whose packages an environment of it does not see.
        (site,) = (folder / "lib").glob("python3*/site-packages")
        (site / "beside.pth").write_text(
            f"{Path(torch.submodule_search_locations[0]).parent}\n", encoding="utf-8"
        )
    return python


def install(python: Path, wheels: list[Path], folder: Path) -> None:
    """Install exactly these; nothing that they ask for is looked for, torch least of all."""
    done = folder / "installed.json"
    names = json.dumps(sorted(wheel.name for wheel in wheels))
    if done.is_file() and done.read_text(encoding="utf-8") == names:
        return
    command = [*_pip(python), "install", "--quiet", "--no-index", "--no-deps", "--no-warn-script-location"]
    subprocess.run([*command, "--find-links", str(wheels[0].parent), *map(str, wheels)], check=True)
    # The program itself, whose version a run's provenance names; it is built by the setuptools among them.
    subprocess.run([*command, "--no-build-isolation", "-e", str(ROOT)], check=True)
    done.write_text(names, encoding="utf-8")


def _pip(python: Path) -> list[str]:
    """This Python's pip for the environment; where it has none, the environment's own."""
    quiet = ["--disable-pip-version-check"]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--python", str(python), *quiet]
    subprocess.run([python, "-m", "ensurepip"], check=True)
    return [str(python), "-m", "pip", *quiet]


def _read(folder: Path, part: str) -> bytes:
    for path in folder.glob(f"*/{part}"):
        return path.read_bytes()
    raise SystemExit(f"{part} is in no batch of {folder}: not all batches have been carried here")


def _imports(python: Path, module: str) -> bool:
    return (
        subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
    )


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
