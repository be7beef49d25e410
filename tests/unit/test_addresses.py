"""What names another storage is refused, as taken for a path it would be a folder of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tiny_tasks import search_config

import search
from search.addresses import local_path
from search.cli.main import cli
from search.commands.audit import audit
from search.commands.clean import clean
from search.commands.confirm import race
from search.commands.verify import verify
from search.config.stages import load_config
from search.errors import ConfigError, RefusedError
from search.exports.export import export
from search.retraining.retrain import retrain

BUCKET = "s3://bucket/runs"
IS_ADDRESS = (
    r"s3://bucket/runs(/x)? is an address, .*; give a path, such as one where that storage is mounted"
)
CONFIG = search_config(budget={"trials": 1, "max_virtual_epochs": 1})


@pytest.fixture(autouse=True)
def nothing_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """No test leaves a folder that is named like an address."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "seg.yaml").write_text("name: seg\n", encoding="utf-8")
    yield
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "seg.yaml"]


@pytest.mark.parametrize("given", ["runs", "/data/runs", "./s3:/bucket", "C:/runs", "a b/c:d", "s3:"])
def test_a_path_is_itself(given: str) -> None:
    assert local_path(given) == Path(given)


@pytest.mark.parametrize("given", ["file:///data/x", "file:/data/x", "FILE://localhost/data/x"])
def test_a_file_address_is_its_path(given: str) -> None:
    assert local_path(given) == Path("/data/x")


@pytest.mark.parametrize("given", [BUCKET, Path(BUCKET), "S3://bucket/runs"])
def test_another_storage_is_refused_with_the_way_out_in_one_line(given: str | Path) -> None:
    with pytest.raises(RefusedError, match=IS_ADDRESS) as refused:
        local_path(given)
    assert "\n" not in str(refused.value)


def test_a_file_address_of_another_machine_is_refused() -> None:
    with pytest.raises(RefusedError, match="file://server/runs names another machine"):
        local_path("file://server/runs")


@pytest.mark.parametrize(
    "call",
    [
        lambda: search.search(CONFIG, results=BUCKET, local=True),
        lambda: search.search(CONFIG, results=Path(BUCKET), local=True),
        lambda: search.search(CONFIG, from_run=BUCKET, local=True, progress=False),
        lambda: search.search(CONFIG, priors_from=BUCKET, local=True, progress=False),
        lambda: search.search(CONFIG, plan=BUCKET, local=True, progress=False),
        lambda: search.search(BUCKET, local=True),
        lambda: search.Run(BUCKET),
        lambda: verify(BUCKET),
        lambda: clean(BUCKET),
        lambda: audit(BUCKET),
        lambda: export(BUCKET),
        lambda: retrain(BUCKET),
        lambda: race(BUCKET, local=True),
    ],
)
def test_in_python_nothing_takes_another_storage_for_a_folder_here(call: Callable[[], Any]) -> None:
    with pytest.raises(RefusedError, match="s3://bucket/runs is an address"):
        call()


@pytest.mark.parametrize("text", ["base: s3://bucket/a.yaml", "priors: {from_run: s3://bucket/a}"])
def test_a_configuration_that_names_another_storage_is_refused_with_its_line(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("configs") / "seg.yaml"
    file.write_text(f"task: segmentation\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    (line,) = (line for line in str(refused.value).splitlines() if "s3://" in line)
    assert line.startswith(f"{file}:2: ")
    assert "is an address" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["seg.yaml", "--results", BUCKET],
        ["seg.yaml", "--from-run", BUCKET],
        ["seg.yaml", "--priors-from", BUCKET],
        ["seg.yaml", "--plan", BUCKET],
        [f"{BUCKET}/x"],
        ["resume", "run", "--config", BUCKET],
        ["clean", BUCKET],
        ["export", "run", "--out", BUCKET],
        ["retrain", "run", "--out", BUCKET],
        ["audit", BUCKET],
        ["init", BUCKET],
        ["init", "run", "--out", BUCKET],
        ["schema", "--out", BUCKET],
        ["plan", "seg.yaml", "--out", BUCKET],
        ["check", "seg.yaml", "--data", "--json", BUCKET],
    ],
)
def test_the_command_line_refuses_another_storage_with_exit_code_2(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    (line,) = (line for line in done.output.splitlines() if "s3://" in line)
    assert "is an address" in line
    assert "mounted" in line
