"""What every command ends with: 2 if it asks for what cannot be, 1 if something is in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from in_process import search_locally
from programs import write_config
from tiny_tasks import search_config

from search.cli.main import cli, main
from search.errors import RefusedError
from search.exports.export import export

pytestmark = pytest.mark.usefixtures("no_fsync")

REFUSED = [
    "search seg.yaml --local --plan notes.txt",
    "search seg.yaml --local --plan other_plan.json",
    "search seg.yaml --local --plan nowhere.json",
    "search seg.yaml --local --from-run data",
    "search seg.yaml --local --priors-from data",
    "search seg.yaml --local --priors-from nowhere",
    "search seg.yaml --local --address auto",
    "search seg.yaml --local --storage results",
    "search seg.yaml --local --storage ftp://host/runs",
    "search seg.yaml --local --set trial.model.widht=3 --set trial.batch_size=0",
    "search seg.yaml --local --set resources.cpus_per_trial=5000",
    "resume data --local",
    "resume s3://bucket --local",
    "fetch results/seg",
    "fetch ftp://host/runs/seg",
    "resume run --local --trials 1",
    "resume run --local --set objective.mode=min",
    "export data",
    "export run --trial 99",
    "export run --out data",
    "export run --format tflite",
    "export run --with-preprocessing",
    "export run --format onnx --with-preprocessing",
    "export empty",
    "export run --ensemble 1",
    "export run --ensemble 3",
    "export run --ensemble folds",
    "export run --ensemble fold",
    "export run --ensemble folds --soup",
    "export run --folds run/retrain",
    "export run --soup",
    "export run --soup --trial 0",
    "export run --ensemble 2 --soup",
    "export empty --ensemble 2",
    "retrain run",
    "retrain run/export --steps 5 --virtual-epochs 2",
    "retrain run/export --fold x",
    "retrain run/export --fold all",
    "retrain run/export --fold 0 --data train+val",
    "confirm data --local",
    "confirm run --local --seeds 1",
    "confirm empty --local",
    "confirm unfinished --local",
    "init data --out seg.yaml",
    "init data --out nowhere/new.yaml",
    "check seg.yaml --set objective.metric=accuracee",
    "check seg.yaml --json problems.json",
    "check seg.yaml --data --json nowhere/problems.json",
    "plan seg.yaml --local --out nowhere/plan.json",
    "plan seg.yaml --local --probe 1",
    "plan seg.yaml --local --set budget.trails=1",
    "submit seg.yaml",
    "submit seg.yaml --slurm gpu",
    "submit seg.yaml --slurm --array=4",
    "submit seg.yaml --no-requeue --wind-down 5s",
    "submit seg.yaml --no-requeue --local",
    "submit seg.yaml --no-requeue --address auto",
    "submit seg.yaml --no-requeue --print --set budget.trails=1",
    "schema --out notes.txt",
    "schema --out nowhere/schema.json",
    "verify data",
    "audit data",
    "predict run data --out predicted",
    "predict data data --out predicted",
    "predict run/export nowhere --out predicted",
    "predict run/export data",
    "report data",
    "report run --out nowhere/page.html",
    "report run --out data",
    "batch-sizes data",
    "batch-sizes run",
    "clean data",
    "clean run --keep-trials 0",
    "list nowhere",
    "list seg.yaml",
    "show data",
    "show run --trial 99",
    "show run --trial best",
    "log data --to mlflow",
    "log run",
    "log run --to tensorboard",
    "log run --to notify",
    "log run --to wandb --tracking-uri http://127.0.0.1:1",
    "dashboard data",
    "dashboard run --out notes.txt",
    "dashboard run --out run/study.journal",
    "dashboard run --out nowhere/copy.journal",
]
OF_A_DAMAGED_STUDY = [
    "search seg.yaml --local --name new --priors-from run",
    "resume run --local",
    "export run",
    "export run --ensemble 2",
    "export run --soup",
    "confirm run --local",
    "verify run",
    "audit run",
    "report run",
    "batch-sizes run",
    "clean run",
    "show run",
    "show run --json",
    "show run --trial 0",
    "dashboard run",
    "log run --to mlflow",
]


@pytest.fixture
def project(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, a complete run and its export, and others that are of no use."""
    config = search_config()
    write_config(tmp_path).rename(tmp_path / "seg.yaml")
    export(run)
    (tmp_path / "data").mkdir()
    for name in ("notes.txt", "data/notes.txt"):
        (tmp_path / name).write_text("of mine\n", encoding="utf-8")
    number = {"low": 1, "middle": 2, "high": 3}
    ranges = {"seconds": number, "trials": number, "disk_bytes": number}
    other = {"format": 1, "config": {**config, "budget": {"trials": 3}}, **ranges}
    (tmp_path / "other_plan.json").write_text(json.dumps(other), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def code_of(words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert isinstance(ended.value.code, int)
    return ended.value.code


def without_a_value(folder: Path, name: str, **sections: object) -> None:
    found = search_locally(search_config(**sections), results=folder, name=name)  # type: ignore[arg-type]
    assert found.best is None


def test_every_command_has_a_case() -> None:
    assert {words.split()[0] for words in REFUSED} == set(cli.commands)


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_is_refused_with_2(
    words: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "empty" in words:
        failing = {"budget": {"trials": 1, "max_virtual_epochs": 1}, "task": "tiny_tasks:FailingTask"}
        without_a_value(project, "empty", **failing)
        capsys.readouterr()
    if "unfinished" in words:
        summary = project / "run" / "summary.json"
        text = summary.read_text(encoding="utf-8").replace('"complete"', '"interrupted"')
        (project / "run").rename(project / "unfinished")
        (project / "unfinished" / "summary.json").write_text(text, encoding="utf-8")
    assert code_of(words) == 2
    said = capsys.readouterr().err
    assert said.strip()
    assert "Traceback" not in said
    assert not (project / "tune-search-error.txt").exists()


@pytest.mark.parametrize("words", OF_A_DAMAGED_STUDY)
def test_a_damaged_study_is_no_mistake_of_the_command(words: str, project: Path) -> None:
    journal = project / "run" / "study.journal"
    journal.write_text("{}\n" + journal.read_text(encoding="utf-8"), encoding="utf-8")
    assert code_of(words) == 1


def test_all_errors_of_what_was_asked_for_have_the_code_of_a_refusal() -> None:
    def below(kind: type[Exception]) -> list[type[Exception]]:
        return [each for sub in kind.__subclasses__() for each in (sub, *below(sub))]

    assert {each.exit_code for each in (RefusedError, *below(RefusedError))} == {2}  # type: ignore[attr-defined]
