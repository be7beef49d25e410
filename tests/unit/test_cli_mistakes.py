"""What the command line says to a mistyped command, file, folder or option."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from search.cli.main import cli, main
from search.cli.paths import nearest_path


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with configurations, a run and another folder; it is the current folder."""
    for name in ("configs/seg.yaml", "configs/stages.yml", "results/seg/config.yaml", "other/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("name: seg\n")
    (tmp_path / "results" / "seg" / "study.journal").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """The last line of what a wrong command says; it leaves no file."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code == 2
    assert sorted(Path().rglob("*")) == before
    printed = capsys.readouterr()
    assert printed.out == ""
    usage, *_, error = printed.err.strip().splitlines()
    assert usage.startswith("Usage: tune-search ")
    return error.removeprefix("Error: ")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("exprot results/seg", "there is no command or file exprot; did you mean export?"),
        ("chekc configs/seg.yaml", "there is no command or file chekc; did you mean check?"),
        ("batch_sizes results/seg", "there is no command or file batch_sizes; did you mean batch-sizes?"),
        ("seg", "there is no command or file seg; did you mean configs/seg.yaml?"),
        (
            "run configs/seg.yaml",
            "there is no command or file run; `tune-search CONFIG` runs a search, and commands are audit, "
            "batch-sizes, check, clean, confirm, dashboard, export, fetch, init, list, log, plan, predict, "
            "report, resume, retrain, schema, search, show, submit, verify",
        ),
        ("--local check configs/seg.yaml", "--local stands before the command; write it after check"),
    ],
)
def test_a_word_that_is_no_command_gets_the_nearest(
    capsys: pytest.CaptureFixture[str], words: str, meant: str
) -> None:
    assert refusal(capsys, *words.split()) == meant


def test_a_command_s_name_may_be_that_of_a_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "chekc").write_text("name: [")
    with pytest.raises(SystemExit):
        main(["chekc"])
    assert capsys.readouterr().err.startswith("chekc:1: not valid YAML")


def test_options_of_a_search_may_stand_before_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--local", "configs/seg.yaml"])
    assert ended.value.code == 2
    assert "configs/seg.yaml:1: task: is required and missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("confgs/seg.yaml", "there is no file confgs/seg.yaml; did you mean configs/seg.yaml?"),
        ("check configs/sge.yaml", "there is no file configs/sge.yaml; did you mean configs/seg.yaml?"),
        ("check seg.yaml", "there is no file seg.yaml; did you mean configs/seg.yaml?"),
        ("check stages", "there is no file stages; did you mean configs/stages.yml?"),
        ("check elsewhere/quite.yaml", "there is no file elsewhere/quite.yaml"),
        (
            "results/seg",
            "results/seg is the folder of a search; `tune-search resume results/seg` continues it",
        ),
        ("configs", "configs is a folder; must be a YAML file, such as configs/seg.yaml"),
        ("check other", "other is a folder; must be a YAML file"),
        ("resume results/sge", "there is no folder results/sge; did you mean results/seg?"),
        ("export seg", "there is no folder seg; did you mean results/seg?"),
        ("verify quite-else", "there is no folder quite-else"),
        (
            "clean configs/seg.yaml",
            "configs/seg.yaml is a file; must be the folder of a search, such as results/seg; "
            "did you mean results/seg?",
        ),
        (
            "retrain configs/seg.yaml",
            "configs/seg.yaml is a file; must be an export, such as results/seg/export; "
            "did you mean results/seg?",
        ),
        ("configs/seg.yaml --from-run seg", "there is no folder seg; did you mean results/seg?"),
        ("resume results/seg --config seg.yaml", "there is no file seg.yaml; did you mean configs/seg.yaml?"),
    ],
)
def test_a_path_that_is_not_what_it_must_be_gets_a_way_out(
    capsys: pytest.CaptureFixture[str], words: str, wrong: str
) -> None:
    assert refusal(capsys, *words.split()).partition("': ")[2] == wrong


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("configs/seg.yaml --trials 5", "budget.trials"),
        ("configs/seg.yaml --max-virtual-epochs=5", "budget.max_virtual_epochs"),
        ("check configs/seg.yaml --batch-size 8", "trial.batch_size"),
        ("configs/seg.yaml --lr 0.1", "trial.optimizer.lr"),
        ("configs/seg.yaml --epochs 5", "budget.max_virtual_epochs"),
        ("check configs/seg.yaml --learning-rate 0.1", "trial.optimizer.lr"),
        ("resume results/seg --steps 100", "budget.steps"),
        ("resume results/seg --points-to-evaluate []", "sampler.points_to_evaluate"),
    ],
)
def test_an_option_with_the_name_of_a_key_is_set_otherwise(
    capsys: pytest.CaptureFixture[str], words: str, key: str
) -> None:
    option = next(word for word in words.split() if word.startswith("--")).partition("=")[0]
    assert refusal(capsys, *words.split()) == f"there is no option {option}; `--set {key}=VALUE` sets it"


def test_a_mistyped_option_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--trials" in refusal(capsys, "resume", "results/seg", "--trails", "5")
    assert "--version" in refusal(capsys, "--verison")
    assert "--fold" in refusal(capsys, "retrain", "results/seg", "--folds", "all")
    assert "--set" not in refusal(capsys, "verify", "results/seg", "--lr", "1")


@pytest.mark.parametrize("fold", ["al", "-1", "1.5"])
def test_a_fold_is_a_number_or_all(capsys: pytest.CaptureFixture[str], fold: str) -> None:
    expected = f"received {fold}; must be the number of a fold, from 0, or all"
    assert refusal(capsys, "retrain", "results/seg", "--fold", fold).endswith(expected)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("batch_size=8", "trial.batch_size"),
        ("lr=0.1", "trial.optimizer.lr"),
        ("trials=3", "budget.trials"),
        ("epochs=3", "budget.max_virtual_epochs"),
        ("trial.lr=0.1", "trial.optimizer.lr"),
    ],
)
def test_a_key_in_another_place_is_told_with_its_own(
    project: Path, capsys: pytest.CaptureFixture[str], override: str, key: str
) -> None:
    (project / "whole.yaml").write_text(
        "task: segmentation\nobjective: {metric: miou, mode: max}\nvirtual_epoch: {steps: 2}\n"
        "trial: {seed: 0}\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["check", "whole.yaml", "--set", override])
    assert ended.value.code == 2
    wrong, name = override.partition("=")[0], override.partition("=")[0].rpartition(".")[2]
    expected = f"--set {override}: {wrong}: unknown key {name!r}; did you mean {key!r}?"
    assert capsys.readouterr().err.splitlines() == [expected]


@pytest.mark.parametrize("there", ["my_losses.py", "configs/my_losses.py"])
def test_a_mistyped_module_gets_the_one_that_lies_there(
    project: Path, capsys: pytest.CaptureFixture[str], there: str
) -> None:
    (project / there).write_text("class Loss: pass\n")
    (project / "whole.yaml").write_text(
        "task: segmentation\nobjective: {metric: miou, mode: max}\nvirtual_epoch: {steps: 2}\n"
        'trial: {loss: {terms: {own: {name: "my_lossses:Loss"}}}}\n'
    )
    module = there.removesuffix(".py").replace("/", ".")
    for override in ("trial.seed=1", "task=my_lossses:Task"):
        with pytest.raises(SystemExit):
            main(["check", "whole.yaml", "--set", override])
        assert f"there is no module 'my_lossses' in the current folder or among the installed packages; did you mean {module!r}?" in capsys.readouterr().err  # fmt: skip # noqa: E501


@pytest.mark.parametrize(
    ("typed", "incomplete", "expected"),
    [
        ([], "exp", [("plain", "export")]),
        ([], "conf", [("plain", "confirm"), ("plain", "configs/")]),
        ([], "config", [("file", "config")]),
        ([], "sea", [("plain", "search")]),
        (["check"], "conf", [("file", "conf")]),
        (["resume"], "resu", [("dir", "resu")]),
        (["check", "configs/seg.yaml"], "--js", [("plain", "--json")]),
        (["configs/seg.yaml"], "--pla", [("plain", "--plan"), ("plain", "--plain")]),
    ],
)
def test_the_tab_key_completes_commands_options_and_files(
    typed: list[str], incomplete: str, expected: list[tuple[str, str]]
) -> None:
    found = ShellComplete(cli, {}, "tune-search", "_TUNE_SEARCH_COMPLETE").get_completions(typed, incomplete)
    assert [(item.type, item.value) for item in found] == expected


def test_a_path_is_compared_part_by_part(project: Path) -> None:
    assert nearest_path(f"{project}/resluts/sge", folder=True) == f"{project}/results/seg"
    assert nearest_path(f"{project}/quite/else") is None


SMALL = """
name: small
task: segmentation
objective: {metric: miou, mode: max}
trial: {model: {name: unet}}
virtual_epoch: {steps: 1}
"""


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ""])
def test_a_run_s_name_is_that_of_one_folder_below_results(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (project / "small.yaml").write_text(SMALL)
    with pytest.raises(SystemExit) as ended:
        main(["small.yaml", "--local", "--name", name])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"--name: received {name!r}; must be at most 80 letters")
    assert sorted(path.name for path in project.iterdir()) == ["configs", "other", "results", "small.yaml"]
    assert [path.name for path in (project / "results").iterdir()] == ["seg"]


def test_a_run_in_the_place_of_its_export_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["retrain", "results/seg"])
    assert "`tune-search export results/seg` writes one" in capsys.readouterr().err
    Path("results/seg/export").mkdir()
    with pytest.raises(SystemExit):
        main(["retrain", "results/seg"])
    assert "did you mean results/seg/export?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("0", "received 0; must be greater than 0, 'full' or 'auto'"),
        ("atuo", "received 'atuo'; must be a whole number, 'full' or 'auto'; did you mean 'auto'?"),
        ("{choice: [0, full]}", "received 0; must be greater than 0, 'full' or 'auto'"),
    ],
)
def test_a_wrong_batch_size_is_told_all_that_it_may_be(
    project: Path, capsys: pytest.CaptureFixture[str], value: str, rule: str
) -> None:
    (project / "small.yaml").write_text(SMALL)
    with pytest.raises(SystemExit):
        main(["check", "small.yaml", "--set", f"trial.batch_size={value}"])
    assert capsys.readouterr().err.strip().endswith(f"trial.batch_size: {rule}")
