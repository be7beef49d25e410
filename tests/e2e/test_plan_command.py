"""`tune-search plan` on Ray, as a user calls it, and the search that keeps its forecast."""

from __future__ import annotations

import json
from pathlib import Path

from programs import PROGRAM, start, write_config

_LIMIT = 300.0


def test_a_plan_is_json_alone_and_stands_beside_the_fact(tmp_path: Path) -> None:
    config = write_config(tmp_path, budget={"trials": 4, "max_virtual_epochs": 3}, task="tiny_tasks:PeakTask")
    before = sorted(tmp_path.iterdir())
    asked = [*PROGRAM, "plan", str(config), "--probe", "4m", "--json", "--out", str(tmp_path / "plan.json")]
    planning = start(tmp_path, [*asked], cwd=tmp_path)
    output, _ = planning.communicate(timeout=_LIMIT)
    assert planning.returncode == 0, output
    # The phases, on stderr, come before what is printed on stdout.
    printed = json.loads(output[output.index("\n{") :])
    assert printed == json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "plan.json"])
    (stage,) = printed["stages"]
    assert stage["configurations"] > 2
    assert stage["trial_memory"] > 1e9, "of Ray's processes, seen from outside while they train"
    assert printed["trials"] == {"low": 4, "middle": 4, "high": 4}
    search = start(tmp_path, [*PROGRAM, str(config), "--plan", "plan.json", "--name", "run"], cwd=tmp_path)
    output, _ = search.communicate(timeout=_LIMIT)
    assert search.returncode == 0, output
    written = json.loads((tmp_path / "results" / "run" / "summary.json").read_text(encoding="utf-8"))
    assert written["forecast"]["seconds"] == {"forecast": printed["seconds"], "fact": written["seconds"]}
    assert "forecast          " in output
