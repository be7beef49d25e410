"""The house: which module imports which, and what is out of order. Run it to see the tables.

A room is a folder of a package, or a file directly in it. All imports count, also those inside functions and
under TYPE_CHECKING: what is hidden there still has to be understood.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

_TRAINABLES = """
    __init__ files storage fence findings text_file pairing process ranks imported base_options
    imported_options options best_window networks optim data folds tables shards images pictures inspect task
    supervised predicting segmentation classification regression gan
    training function integrations checkpoints tensorboard plan shareable build measure session workers
    batch_probe
"""
_SEARCH = """
    hidden errors addresses text space config study schedulers fidelity budget samplers race ray slurm mirror
    run forecast listing fetching followers optuna_copy graphs predicting exports ensembles retraining
    commands screen reports api
    __init__ cli __main__
"""
ORDER: Mapping[str, tuple[str, ...]] = {
    "trainables": tuple(_TRAINABLES.split()),
    "search": tuple(_SEARCH.split()),
}
"""The rooms of each package from the bottom up: a room may import what stands before it, and itself."""

MAX_FILE, MAX_FUNCTION = 350, 60
Graph = Mapping[str, frozenset[str]]


@functools.cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@functools.cache
def modules(package: str) -> Mapping[str, Path]:
    """The modules of a package by their dotted names."""
    found = {}
    for file in sorted((ROOT / package).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(file: Path) -> Iterator[str]:
    """Names that a file imports anywhere in it: `a.b` for `import a.b`, `a.b.c` for `from a.b import c`."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def graph(package: str) -> Graph:
    """The modules of the package that each of its modules imports."""
    known = modules(package)
    return {
        module: frozenset(
            target
            for name in imported(file)
            for target in [name if name in known else name.rpartition(".")[0]]
            if target in known and target != module
        )
        for module, file in known.items()
    }


def circles(edges: Graph) -> list[list[str]]:
    """The groups of two and more that import each other, directly or not."""
    reached = {module: _reached(edges, module) for module in edges}
    groups = {frozenset(other for other in reached[module] if module in reached[other]) for module in edges}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reached(edges: Graph, start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in edges[waiting.pop()] - found:
            found.add(target)
            waiting.append(target)
    return found


def num_floors(edges: Graph) -> int:
    """Length of the longest chain of imports, a circle counting as one."""
    heights: dict[str, int] = {}

    def height(module: str) -> int:
        if module not in heights:
            heights[module] = 0  # where a circle closes
            heights[module] = 1 + max((height(target) for target in edges[module]), default=0)
        return heights[module]

    return max(map(height, edges), default=0)


def room_of(module: str) -> str:
    """`images` for `trainables.images.decode`, `trainer` for `trainables.training.trainer`."""
    return module.split(".")[1] if "." in module else "__init__"


def rooms(package: str) -> Graph:
    """The rooms that each room imports."""
    edges = graph(package)
    found: dict[str, set[str]] = {room_of(module): set() for module in edges}
    for module, targets in edges.items():
        found[room_of(module)] |= {room_of(target) for target in targets} - {room_of(module)}
    return {room: frozenset(targets) for room, targets in found.items()}


def upward(package: str) -> list[str]:
    """Imports from a room that stands above, and rooms that have no place in the order."""
    place = {room: number for number, room in enumerate(ORDER[package])}
    unknown = sorted(room for room in rooms(package) if room not in place)
    wrong = [
        f"{module} imports {target}"
        for module, targets in graph(package).items()
        for target in sorted(targets)
        if place.get(room_of(target), 0) > place.get(room_of(module), len(place))
    ]
    return [f"{room} has no place in rooms.ORDER" for room in unknown] + wrong


def long_files(package: str) -> list[str]:
    lengths = {file: len(file.read_text().splitlines()) for file in modules(package).values()}
    return [f"{file.relative_to(ROOT)}: {n} lines" for file, n in lengths.items() if n > MAX_FILE]


def long_functions(package: str) -> list[str]:
    return [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for file in modules(package).values()
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MAX_FUNCTION
    ]


def _print(package: str) -> None:
    edges, files = rooms(package), modules(package)
    print(f"\n{package}: {len(files)} files, {num_floors(graph(package))} floors of files\n")
    print(f"{'room':16}{'files':>6}{'lines':>7}  imports")
    for room in sorted(edges, key=lambda room: (ORDER[package] + (room,)).index(room)):
        own = [file for module, file in files.items() if room_of(module) == room]
        lines = sum(len(file.read_text().splitlines()) for file in own)
        print(f"{room:16}{len(own):6}{lines:7}  {', '.join(sorted(edges[room]))}")
    for title, found in (
        ("circles of files", [" <-> ".join(circle) for circle in circles(graph(package))]),
        ("circles of rooms", [" <-> ".join(circle) for circle in circles(edges)]),
        ("upward imports", upward(package)),
        (f"files above {MAX_FILE} lines", long_files(package)),
        (f"functions above {MAX_FUNCTION} lines", long_functions(package)),
    ):
        print(f"\n{title}: {len(found) or 'none'}", *found, sep="\n  ")


if __name__ == "__main__":
    for name in sys.argv[1:] or ORDER:
        _print(name)
