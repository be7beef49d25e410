"""What `export` refuses, which it says before it announces that anything is loaded."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from in_process import search_locally
from tiny_tasks import search_config

from search.cli.main import cli
from search.errors import SearchError
from search.exports.export import export
from search.study.reading import read_records
from search.study.trial import ranked
from trainables.checkpoints.checkpoint import checkpoint_folder, list_checkpoints

pytestmark = pytest.mark.usefixtures("no_fsync")
LOADING = "loading data and evaluating the checkpoint"


def searched(results: Path, **sections: Any) -> Path:
    budget = {"trials": 5, "max_virtual_epochs": 2}
    config = search_config(budget=budget, checkpoint={"keep_trials": 1}, **sections)
    if "objectives" in sections:
        del config["objective"]
    search_locally(config, results=results)
    return results / "digits"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def of_several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    objectives = [{"metric": "accuracy", "mode": "max"}, {"metric": "parameters", "mode": "min"}]
    return searched(tmp_path_factory.mktemp("several"), objectives=objectives)


def said(run: Path, *arguments: str) -> str:
    done = CliRunner().invoke(cli, ["export", str(run), *arguments])
    assert isinstance(done.exception, SearchError)
    assert LOADING not in done.output
    return str(done.exception)


def without_checkpoints(run: Path) -> list[int]:
    trials = [number for number in range(5) if not list_checkpoints(run / "trials" / f"{number:04d}")]
    assert trials
    return trials


def test_nothing_is_announced_before_a_refusal(run: Path, of_several: Path, tmp_path: Path) -> None:
    assert "choose one by --trial N\n  trial " in said(of_several)
    assert "there is no trial 99" in said(run, "--trial", "99")
    done = CliRunner().invoke(cli, ["export", str(run), "--out", str(tmp_path / "out")])
    assert done.exception is None
    assert LOADING in done.output


def test_a_trial_without_checkpoints_is_told_of_which_they_are_kept(run: Path, of_several: Path) -> None:
    lost, (best, *_) = without_checkpoints(run)[0], ranked(read_records(run / "study.journal"), "max")
    message = said(run, "--trial", str(lost))
    assert (
        f"trial {lost} has no checkpoint any more: checkpoints are kept of the best 1 by accuracy" in message
    )
    assert message.endswith(f"those of trials {best.number} are there, the best one first")
    lost = without_checkpoints(of_several)[0]
    assert "kept of the front and of the best 1 by accuracy (checkpoint.keep_trials)" in said(
        of_several, "--trial", str(lost)
    )


def test_a_best_trial_that_has_lost_its_checkpoint_is_no_such_trial(run: Path, tmp_path: Path) -> None:
    """Somebody removed it by hand: `verify` tells what is left."""
    copy = tmp_path / "digits"
    shutil.copytree(run, copy)
    best = ranked(read_records(copy / "study.journal"), "max")[0]
    shutil.rmtree(checkpoint_folder(copy / "trials" / f"{best.number:04d}", best.best_virtual_epoch("max")))
    with pytest.raises(SearchError, match=re.escape(f"trial {best.number} cannot be exported: ")):
        export(copy, trial=best.number)
