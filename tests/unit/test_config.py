"""The configuration as a whole: defaults, overrides, the environment, the user's own task."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_task import FULL, MINIMAL, load, problems_of, trial_problems

from search.config.document import write_yaml
from search.config.schema import Asha, Median, parse_duration
from search.config.stages import load_config, open_run
from search.config.tasks import load_task, task_path
from search.errors import ConfigError

pytestmark = pytest.mark.usefixtures("task_in_current_folder")


def test_full_configuration_is_typed():
    config = load(FULL)
    assert (config.name, config.objective.metric, config.objective.mode) == ("seg", "miou", "max")
    assert (config.virtual_epoch.unit, config.virtual_epoch.count) == ("steps", 50)
    assert config.budget.seconds == 5400
    assert config.scheduler == Asha(grace_period=1, reduction_factor=3)
    assert config.resources.gpus_per_trial == 0.25
    assert config.points_to_evaluate == [{"optimizer": "adamw", "optimizer.adamw.lr": 1e-3, "batch_size": 16}]
    assert config.task_class().__name__ == "MyTask"
    assert config.task_path == "my_task:MyTask"
    assert config.file == Path("c.yaml")


def test_defaults_and_the_name_of_the_file():
    config = load(MINIMAL)
    assert config.name == "c"
    assert (config.budget.trials, config.budget.max_virtual_epochs, config.budget.time) == (24, 27, None)
    assert (config.sampler.name, config.sampler.seed, config.sampler.startup_trials) == ("tpe", 0, 10)
    assert config.scheduler == Asha()
    assert (config.checkpoint.every, config.checkpoint.keep) == (1, 2)
    assert (config.max_failures, config.max_failed_trials) == (2, 5)
    assert config.space.names == ()


def test_raw_is_complete_and_loads_to_the_same():
    config = load(FULL, "budget.trials=3")
    write_yaml("config.yaml", config.raw)
    for again in (load_config("config.yaml").first, open_run(Path("config.yaml")).first):
        assert again.raw == config.raw
        assert again.space == config.space
        assert (again.budget, again.scheduler, again.points_to_evaluate) == (
            config.budget,
            config.scheduler,
            config.points_to_evaluate,
        )
    assert config.raw["budget"] == {
        "trials": 3,
        "max_virtual_epochs": 27,
        "full_trainings": None,
        "time": "1h30m",
        "steps": None,
        "samples": None,
        "gpu_hours": None,
        "plateau": None,
    }
    assert config.raw["checkpoint"] == {"every": 1, "keep": 2, "keep_trials": 5}


def test_python_values_are_a_configuration_too():
    config = load_config(
        {
            "name": "notebook",
            "task": "my_task:MyTask",
            "objective": {"metric": "miou", "mode": "max"},
            "trial": {"batch_size": {"choice": (8, 16)}},
            "virtual_epoch": {"epochs": 1},
            "scheduler": {"name": "median", "grace_period": 3},
        },
        ["budget.time=45s"],
    ).first
    assert config.scheduler == Median(grace_period=3)
    assert config.budget.time == 45
    assert config.file is None
    with pytest.raises(ConfigError, match="config: name: is required and missing"):
        load_config({"task": "my_task:MyTask"})


def test_grace_in_steps_is_not_held_against_virtual_epochs():
    assert load(MINIMAL + "scheduler: {grace_period: 500, axis: steps}").scheduler.grace_period == 500


def test_a_run_is_opened_without_its_task_and_environment():
    config = load(MINIMAL.replace("trial: {}", "trial: {batch_size: {choice: [8, 16]}}"))
    raw = {**config.raw, "task": "not_here:Task", "trial": {"data": {"root": "${env:NOT_SET}"}, "x": 1}}
    write_yaml("config.yaml", raw)
    opened = open_run(Path("config.yaml"))
    assert (opened.task, opened.raw, opened.is_staged) == ("not_here:Task", raw, False)
    write_yaml("config.yaml", {**raw, "budget": {"trials": 0}})
    with pytest.raises(
        ConfigError, match=r"^config\.yaml:\d+: budget\.trials: received 0; must be greater than 0"
    ):
        open_run(Path("config.yaml"))


def test_reference_to_the_environment_is_for_paths_of_data(monkeypatch):
    monkeypatch.setenv("ROOT", "/big")
    monkeypatch.delenv("NOT_SET", raising=False)
    config = load(MINIMAL.replace("trial: {}", "trial: {data: {roots: ['${env:ROOT}/x']}}"))
    assert next(config.space.candidates()).options == {"data": {"roots": ["${env:ROOT}/x"]}}
    assert trial_problems(
        "{batch_size: '${env:ROOT}', data: {root: '${env:NOT_SET}'}}", "budget.trials=${env:ROOT}"
    ) == [
        "c.yaml:3: trial.batch_size: ${env:ROOT} is part of a path, and only texts under trial.data are "
        "paths; write the value, or give it with --set",
        "c.yaml:3: trial.data.root: the environment variable NOT_SET is not set; export it, or write the path",  # noqa: E501
        "--set budget.trials=${env:ROOT}: budget.trials: ${env:ROOT} is part of a path, and only texts "
        "under trial.data are paths; write the value, or give it with --set",
    ]
    (problem,) = problems_of(MINIMAL.replace("my_task:MyTask", "${env:ROOT}"))
    assert problem.startswith("c.yaml:1: task: ${env:ROOT} is part of a path")


@pytest.mark.parametrize(
    "key", ["password", "hf_token", "Token", "api-key", "aws_secret_access_key", "secret", "db_credentials"]
)
def test_secret_is_refused_with_the_way_out(key):
    for value in ("x1y2", "${env:HOME}"):
        problems = trial_problems(f"{{data: {{{key}: '{value}'}}}}")
        assert problems == [
            f"c.yaml:3: trial.data.{key}: is a secret by its name, and a run's files keep it; "
            "remove it, and let the task read it from the environment (os.environ)"
        ]


@pytest.mark.parametrize("pair", ["num_tokens: 4", "pad_token: <pad>", "cls_token: true", "keys: [a]"])
def test_what_only_sounds_like_a_secret_is_taken(pair):
    assert load(MINIMAL.replace("trial: {}", f"trial: {{data: {{{pair}}}}}"))


def test_grid_needs_a_finite_space():
    text = MINIMAL.replace("trial: {}", "trial: {ema: {uniform: [0.5, 0.9]}}") + "sampler: {name: grid}"
    (problem,) = problems_of(text)
    assert problem.startswith("c.yaml:3: trial.ema: uniform 0.5 .. 0.9 has no end of values")


def test_built_in_task_has_a_short_name():
    assert task_path("segmentation") == "trainables.segmentation.task:SegmentationTask"
    with pytest.raises(ConfigError, match="config: task: "):
        load_task("segment ation")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800), ("1.5h", 5400), (None, None)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "30", "m30", "1h 30x", "-5m", 30])
def test_other_texts_are_no_durations(text):
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("größe", "grosse"),
        ("seg config (copy)", "seg-config-copy"),
        ("é.v1", "e.v1"),
        ("-x", "x"),
        ("a" * 99, "a" * 80),
        ("seg_2.b-3", "seg_2.b-3"),
    ],
)
def test_a_name_from_that_of_the_file_is_one_of_a_folder(stem, name):
    Path(f"{stem}.yaml").write_text(MINIMAL)
    config = load_config(f"{stem}.yaml")
    assert (config.name, config.named_by_file) == (name, True)
    said = f"the run is called {name}, after {stem}.yaml; `name:` or --name gives another name"
    assert config.name_note == ("" if stem == name else said)
    for given in (load_config(f"{stem}.yaml", name="x"), load_config(f"{stem}.yaml", ["name=x"])):
        assert (given.name, given.named_by_file, given.name_note) == ("x", False, "")


def test_a_file_without_a_usable_name_needs_one_and_name_is_enough():
    Path("日本.yaml").write_text(MINIMAL)
    with pytest.raises(ConfigError, match=r"日本\.yaml \(its name, without `name:` or --name\): name: rec"):
        load_config("日本.yaml")
    assert load_config("日本.yaml", name="nippon").name == "nippon"
    with pytest.raises(ConfigError, match=r"^--name: name: received '\.\.'; must be"):
        load_config("日本.yaml", name="..")
