"""A search that has begun keeps where its priors are from: others are refused, and ways out name them."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally
from programs import write_config
from recorder import Recorder
from run_files import only
from tiny_tasks import search_config

from search.cli.main import main
from search.commands.check import check
from search.commands.plan import plan
from search.commands.verify import verify
from search.config.document import read_values
from search.config.stages import load_config
from search.errors import ConfigError

pytestmark = pytest.mark.usefixtures("no_fsync")
ONE = search_config(
    trial={"optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}}, "batch_size": 16},
    budget={"trials": 1, "max_virtual_epochs": 1},
    scheduler={"name": "none"},
    resources={"cpus_per_trial": 1, "concurrent_trials": 1},
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """digits.yaml; and two runs of it, of which `begun` began with the priors of `older`."""
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, **ONE)
    search_locally("digits.yaml", name="older")
    search_locally("digits.yaml", name="begun", priors_from="results/older")


def ended(*words: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code


@pytest.mark.parametrize(
    "options", [{"priors_from": "results/begun"}, {"overrides": ["priors=segmentation"]}]
)
def test_a_search_that_began_without_priors_is_refused_any(options: dict[str, Any]) -> None:
    study = Path("results/older/study.journal").read_bytes()
    with pytest.raises(ConfigError) as refused:
        search_locally("digits.yaml", name="older", **options)
    asked = "--priors-from results/begun" if "priors_from" in options else "--set 'priors={"
    assert f"received {asked}" in str(refused.value)
    way_out = "`tune-search resume results/older` goes on as it is, and another search takes another --name"
    assert "this search has begun without any and takes no others later; " + way_out in str(refused.value)
    with pytest.raises(ConfigError, match="begun without any"):
        resume_locally("results/older", overrides=["priors=segmentation", "budget.trials=2"])
    assert Path("results/older/study.journal").read_bytes() == study


def test_a_search_that_began_with_other_priors_is_refused_these() -> None:
    with pytest.raises(
        ConfigError, match=r"received --priors-from results/other; .*with --priors-from results/older"
    ):
        search_locally("digits.yaml", name="begun", priors_from="results/other")
    with pytest.raises(ConfigError, match=r"confidence.*high.*with --priors-from results/older"):
        resume_locally("results/begun", overrides=["priors={from_run: results/older, confidence: high}"])


def test_the_same_run_by_another_path_also_of_a_moved_folder_of_runs_goes_on(tmp_path: Path) -> None:
    for run in ("results/../results/older", tmp_path / "results" / "older"):
        told = Recorder()
        search_locally("digits.yaml", name="begun", priors_from=run, reporter=told)
        assert "priors are those with which this search began" in told.notes
    Path("results").rename("moved")
    again = search_locally("digits.yaml", name="begun", results="moved", priors_from="moved/older")
    assert again.trials == 1


def test_the_same_command_goes_on_when_the_former_run_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("results/older")
    words = ("digits.yaml", "--local", "--plain", "--priors-from", "results/older", "--name")
    assert ended(*words, "begun", "--set", "budget.trials=2") == 0
    capsys.readouterr()
    assert ended(*words, "new") == 2
    assert (
        "--priors-from: priors.from_run: received results/older; there is no such folder; give that of a run"
        in capsys.readouterr().err
    )


def test_where_only_the_priors_are_missing_the_way_out_is_to_give_them_again() -> None:
    with pytest.raises(ConfigError) as refused:
        search_locally("digits.yaml", name="begun")
    message = str(refused.value)
    assert "give --priors-from results/older again, with which this search began; for another" in message
    assert "resume" not in message


@pytest.mark.parametrize("priors_from", ["results/older", None])
def test_the_command_that_takes_a_change_for_new_trials_keeps_the_priors(priors_from: str | None) -> None:
    with pytest.raises(ConfigError, match="takes them for new trials") as refused:
        search_locally("digits.yaml", name="begun", priors_from=priors_from, overrides=["trial.batch_size=8"])
    words = shlex.split(str(refused.value).split("`")[1])
    assert words[:5] == ["tune-search", "resume", "results/begun", "--config", "digits.yaml"]
    assert ended(*words[1:], "--set", "budget.trials=2", "--local") == 0
    trial = read_values(Path("results/begun/config.yaml"))["trial"]
    assert trial["batch_size"] == 8
    assert "prior" in trial["optimizer"]["lr"]


def test_a_damaged_record_of_the_priors_is_told_and_resuming_does_not_need_it() -> None:
    Path("results/begun/priors.yaml").write_text("from_run: [3]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"priors.yaml: received .*; `tune-search resume results/begun`"):
        search_locally("digits.yaml", name="begun", priors_from="results/older")
    assert resume_locally("results/begun", overrides=["budget.trials=2"]).trials == 2
    damage = only(verify("results/begun"))
    assert damage.path == "priors.yaml"
    assert "which names no priors" in damage.what
    assert damage.cost.startswith("the same `priors:` cannot be given again")


@pytest.mark.parametrize(
    "option", [{"overrides": ["budget.trials=2"]}, {"priors_from": "results/older"}], ids=str
)
def test_what_would_change_a_loaded_configuration_is_refused_beside_it(option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(
        TypeError, match=rf"a loaded configuration and {name}=.*load_config\(source, {name}=…"
    ):
        search_locally(load_config("digits.yaml"), name="older", **option)


def test_check_and_plan_take_a_run_for_priors_and_know_that_of_their_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["check", "digits.yaml", "--priors-from", "results/older"])
    assert "priors from results/older, trial 0" in capsys.readouterr().out
    shutil.rmtree("results/digits")  # where check has put its picture
    Path("results/begun").rename("results/digits")
    assert check("digits.yaml", priors_from="results/older").priors == (
        "priors are those with which this search began",
    )
    for refuse in (check, plan):
        with pytest.raises(ConfigError, match="begun with --priors-from results/older"):
            refuse("digits.yaml", priors_from="results/none")
    assert ended("plan", "digits.yaml", "--local", "--priors-from", "results/none") == 2
