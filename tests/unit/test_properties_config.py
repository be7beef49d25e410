"""Any configuration is refused in plain lines, or accepted and can be gone on with."""

from __future__ import annotations

import copy
import functools
import io
import os
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from mutations import CUTS, EDITS, KEYS, SNIPPETS, UTF8, VALUES, WORDS, Edit, cut
from programs import ROOT
from properties import for_all
from simulated_search import open_study
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tiny_tasks import DigitsTask, search_config

from search.cli.main import main
from search.config.config import Config
from search.config.document import write_yaml, yaml_text
from search.config.stages import load_config, open_run
from search.config.yaml import parse_yaml
from search.errors import ConfigError
from search.run.disk.folder import RunFolder
from search.schedulers.build import build_scheduler
from search.study.reading import read_records
from search.study.study import JOURNAL
from trainables.options import TrialOptions
from trainables.session import TrialSession

SECRET = "c4n4ry-0f-th3-m1n3"


FULL = search_config(
    trial={
        "data": {"path": "${env:CANARY}/x", "parts": ["a", "b"]},
        "model": {"hidden": {"choice": [8, {"randint": [9, 99]}]}, "rate": {"quniform": [0.1, 0.9, 0.1]}},
        "optimizer": {
            "choice": [
                {
                    "name": "adamw",
                    "lr": {"loguniform": [1e-4, 1e-1]},
                    "betas": [0.9, {"uniform": [0.9, 0.999]}],
                },
                {"name": "sgd", "lr": 0.1, "momentum": {"choice": [0.0, 0.9]}},
            ]
        },
        "lr_schedule": {"name": "cosine", "warmup": 0.05},
        "batch_size": {"lograndint": [4, 64]},
        "accumulate": 2,
        "clip_norm": 1.0,
        "ema": {"choice": [None, 0.99]},
        "seed": 0,
    },
    budget={"trials": 9, "max_virtual_epochs": 9, "time": "30m", "steps": 1000},
    sampler={
        "name": "tpe",
        "seed": 0,
        "startup_trials": 3,
        "points_to_evaluate": [{"optimizer": "sgd", "seed": 0}],
    },
    scheduler={"name": "asha", "grace_period": 1, "reduction_factor": 3, "axis": "steps"},
    resources={"cpus_per_trial": 1, "gpus_per_trial": 0.25, "concurrent_trials": 2},
    checkpoint={"every": 1, "keep": 2},
) | {"max_failures": 1, "max_failed_trials": 3, "timeout": "10m"}
"""Every section, a conditional space and a variable."""


README = (ROOT / "README.md").read_text()


TEXTS = [
    (ROOT / "configs" / "seg.yaml").read_text(),
    next(block for block in README.split("```yaml\n") if block.startswith("name: seg")).split("```")[0],
    yaml_text(FULL),
]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CANARY", SECRET)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def edited(edits: Sequence[Edit]) -> dict[str, Any]:
    tree = copy.deepcopy(FULL)
    for edit in edits:
        edit.apply(tree)
    return tree


# What must hold


def load(source: Any, overrides: Sequence[str] = ()) -> Config | None:
    """The configuration, or None where it was refused in lines that can be shown."""
    config, problems = read(source, overrides)
    assert (config is None) == bool(problems)
    assert all(line.isprintable() and 0 < len(line) < 2000 for line in problems), problems
    assert not any(SECRET in line for line in problems)
    return config


def read(source: Any, overrides: Sequence[str] = ()) -> tuple[Config | None, list[str]]:
    """The configuration, or a line for each problem."""
    try:
        return load_config(source, overrides).first, []
    except ConfigError as error:
        return None, str(error).splitlines()


def assert_can_be_gone_on_with(config: Config) -> None:
    """Written and read again it is the same, and a trial is drawn from it and read from the study."""
    write_yaml("config.yaml", config.raw)
    assert SECRET not in Path("config.yaml").read_text()
    again = load_config("config.yaml").first
    opened = open_run(Path("config.yaml")).first
    for part in (lambda c: c.raw, lambda c: c.space, lambda c: c.points_to_evaluate, sections):
        assert part(again) == part(config) == part(opened)
    assert (Path("results") / config.name).parent == Path("results")
    names = config.space.names
    assert len(set(names)) == len(names)
    assert all(line.isprintable() for line in config.space.describe())
    assert_a_trial_is_drawn(config)


def sections(config: Config) -> Any:
    names = ("name", "task", "objective", "virtual_epoch", "budget", "sampler", "scheduler", "resources")
    return [
        getattr(config, name)
        for name in (*names, "checkpoint", "max_failures", "max_failed_trials", "timeout")
    ]


def assert_a_trial_is_drawn(config: Config) -> None:
    Path(JOURNAL).unlink(missing_ok=True)
    study = open_study(Path(), config, build_scheduler(config))
    drawn = study.ask(config.points_to_evaluate[0] if config.points_to_evaluate else None)
    (read,) = read_records(Path(JOURNAL))
    assert read.resolved == drawn.resolved


@for_all(examples=80, many=2500, edits=EDITS)
def test_a_changed_configuration_is_refused_in_plain_lines_or_can_be_gone_on_with(edits: list[Edit]) -> None:
    config = load(edited(edits))
    if config is not None:
        assert_can_be_gone_on_with(config)


@for_all(examples=60, many=3000, model=st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_values_that_a_task_leaves_open_are_refused_or_can_be_gone_on_with(model: dict[str, Any]) -> None:
    config = load(search_config(trial={"model": model}))
    if config is not None:
        assert_can_be_gone_on_with(config)


@for_all(
    examples=120,
    many=5000,
    text=st.sampled_from(TEXTS),
    cuts=CUTS,
    keep=st.one_of(st.just(10_000), st.integers(0, 2000)),
)
def test_a_damaged_file_is_refused_in_plain_lines_or_can_be_gone_on_with(
    text: str, cuts: list[tuple[int, int, bytes]], keep: int
) -> None:
    Path("c.yaml").write_bytes(cut(text, cuts, keep))
    config = load("c.yaml")
    if config is not None:
        assert_can_be_gone_on_with(config)


@for_all(examples=30, many=300, cuts=CUTS)
def test_the_program_ends_with_2_and_the_problems_where_a_file_is_refused(
    cuts: list[tuple[int, int, bytes]],
) -> None:
    Path("c.yaml").write_bytes(cut(TEXTS[-1], cuts, keep=10_000))
    _, problems = read("c.yaml")
    if problems:
        told = io.StringIO()
        with redirect_stderr(told), pytest.raises(SystemExit) as ended:
            main(["check", "c.yaml"])
        assert ended.value.code == 2
        assert told.getvalue().splitlines() == problems
        assert os.listdir() == ["c.yaml"]  # no trace


# Files

TEXTS_OF_SIGNS = st.text(st.sampled_from("ab 0.:?-#,[]{}&*!|>'\"%@`~\\\n\t漢"), max_size=200)


PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(1 - 10**300, 10**300 - 1),
        st.floats(),
        st.text(UTF8),
        TEXTS_OF_SIGNS,
        st.sampled_from(["yes", "1e5", "0x1F", ".nan", "---", "<<", "2026-01-01", "${env:CANARY}"]),
    ),
    lambda inside: st.one_of(
        st.lists(inside, max_size=4),
        st.dictionaries(
            st.one_of(st.text(UTF8, max_size=50), TEXTS_OF_SIGNS).filter(str.isprintable), inside, max_size=4
        ),
    ),
    max_leaves=8,
)


@for_all(examples=150, many=5000, value=PLAIN)
def test_what_is_written_reads_back_identically(value: Any) -> None:
    assert repr(parse_yaml(yaml_text({"": value})).tree) == repr(
        {"": value}
    )  # repr: types, order, NaN and -0.0


# Overrides

PATHS = st.one_of(
    st.sampled_from(["trial.model.new", "trial.model.hidden", "trial.data.parts.0", "budget.trials"]),
    st.sampled_from(
        ["trial.batch_size", "sampler.points_to_evaluate", "trial.optimizer.choice.0.lr", "trial.a" * 60]
    ),
    st.lists(st.sampled_from(["trial", "model", "choice", "0", "9" * 5000, "data", *WORDS])).map(".".join),
)


OVERRIDES = st.one_of(
    st.builds(
        "{}={}".format,
        PATHS,
        st.one_of(
            st.sampled_from(["1", "7", "0.5", "{choice: [4, 5]}", "[{seed: 0}]", *SNIPPETS, "x" * 300_000]),
            st.text(max_size=20),
        ),
    ),
    st.text(max_size=20),
)


@for_all(examples=80, many=3000, overrides=st.lists(OVERRIDES, min_size=1, max_size=2))
def test_any_overrides_are_refused_in_plain_lines_or_can_be_gone_on_with(overrides: list[str]) -> None:
    config = load(FULL, overrides)
    if config is not None:
        assert_can_be_gone_on_with(config)


# Categories

CATEGORIES = st.lists(
    st.one_of(st.sampled_from(["a/b\\c", "../../..", "x" * 300, "学習率: 高い", "\0"]), st.text(UTF8)),
    min_size=2,
    max_size=4,
    unique=True,
)


@for_all(examples=12, many=300, categories=CATEGORIES)
def test_any_categories_give_short_plain_names_of_files_and_are_shown_by_tensorboard(
    categories: list[str],
) -> None:
    from search.run.executor import trial_plan

    models = [{"name": category, "hidden": {"randint": [2, 4]}} for category in categories]
    trial = {"data": {"label": {"choice": categories}}, "model": {"choice": models}}
    config = load_config(search_config(trial=trial, virtual_epoch={"steps": 1})).first
    with TemporaryDirectory(dir=".") as folder:
        run = RunFolder(Path(folder).absolute() / config.name)
        run.create()
        record = open_study(run.path, config, build_scheduler(config)).ask()
        session = TrialSession(trial_plan(config, run, record, 60.0), digits())
        session.next_report()
        session.close()
        for path in run.path.rglob("*"):
            assert re.fullmatch(r"[\w.-]{1,100}", path.name, re.ASCII), path
        assert tensorboard_params(run.trial(record.number)) == record.resolved.params


@functools.cache
def digits() -> dict[str, np.ndarray]:
    return DigitsTask.load_data(TrialOptions())


def tensorboard_params(folder: Path) -> dict[str, Any]:
    """The values in the HParams tab; whole numbers are floats there."""
    events = EventAccumulator(str(folder))
    events.Reload()
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    hparams = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in hparams.items()}
