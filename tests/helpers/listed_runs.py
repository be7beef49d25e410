"""Folders of runs for `list`, `show` and `dashboard`: simulated searches beside their configuration."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simulated_search import Simulation, config_of, noisy

from search.config.config import Config
from search.config.document import write_yaml
from search.listing.reading import RunReading, read_run
from search.run.disk.folder import RunFolder
from search.run.disk.owner import Owner

RANDOM = {"name": "random", "seed": 0}


def asked(**sections: Any) -> Config:
    budget = {"trials": 12, "max_virtual_epochs": 9}
    return config_of(**{"budget": budget, "sampler": RANDOM, **sections})


def begun(folder: Path, config: Config | None = None, **how: Any) -> Simulation:
    """A search that has not done anything yet, in a folder as a run has it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = config or asked()
    write_yaml(folder / "config.yaml", config.raw)
    return Simulation(folder, config, how.pop("curve", noisy(0)), **how)


def reading(folder: Path) -> RunReading:
    return read_run(RunFolder(folder))


def written_keys(section: str) -> set[str]:
    """The keys that a section of docs/list.md documents, the first column of its table."""
    text = (Path(__file__).parents[2] / "docs/list.md").read_text(encoding="utf-8")
    lines = text.partition(f"### {section}\n")[2].partition("\n### ")[0].splitlines()
    rows = [line.split("|")[1].strip() for line in lines if line.startswith("| `")]
    return {name.strip("` ") for row in rows for name in row.split(",")}


def own_owner(folder: Path, **changed: Any) -> Path:
    """The file that says who owns a folder: this process, but for what is changed."""
    file = folder / ".owner.json"
    file.write_text(json.dumps(asdict(Owner.here()) | changed), encoding="utf-8")
    return file
