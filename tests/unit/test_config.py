"""The configuration as a whole: defaults, every mistake at once with its line, the user's own task."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from search.config.document import write_yaml
from search.config.schema import Asha, Median, parse_duration
from search.config.stages import load_config, open_run
from search.config.tasks import load_task, task_path
from search.errors import ConfigError

TASK = """
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator

from trainables.options import Options, TrialOptions
from trainables.task import Task


class Unet(Options):
    name: Literal["unet"] = "unet"
    width: PositiveInt = 16


class Fcn(Options):
    kind: Literal["fcn"] = "fcn"
    depth: int = 1


class Deep(Options):
    kind: Literal["deep"]
    atrous: list[PositiveInt] = [6]


class MyOptions(TrialOptions):
    model: Unet = Unet()
    head: Annotated[Fcn | Deep, Field(discriminator="kind")] = Fcn()
    plain: Fcn | Deep | None = None
    size: int | list[int] | Literal["auto"] = "auto"
    tag: str = ""

    @field_validator("tag")
    @classmethod
    def _good(cls, tag: str) -> str:
        if tag.startswith("bad"):
            raise ValueError("a tag must be good")
        return tag


class MyTask(Task):
    Options = MyOptions


class NoTask:
    pass
"""

MINIMAL = """\
task: my_task:MyTask
objective: {metric: miou, mode: max}
trial: {}
virtual_epoch: {steps: 50}
"""

FULL = """\
name: seg
task: my_task:MyTask
objective: {metric: miou, mode: max}
trial:
  data: {source: digits}
  model: {name: unet, width: {choice: [16, 32, 64]}}
  optimizer:
    choice:
      - {name: adamw, lr: {loguniform: [1e-4, 1e-1]}, weight_decay: {loguniform: [1e-6, 1e-1]}}
      - {name: sgd, lr: {loguniform: [1e-3, 1.0]}, momentum: {uniform: [0.0, 0.99]}}
  batch_size: {choice: [8, 16, 32]}
virtual_epoch: {steps: 50}
budget: {trials: 24, max_virtual_epochs: 27, time: 1h30m}
sampler:
  name: tpe
  points_to_evaluate:
    - {optimizer: {name: adamw, lr: 1e-3}, batch_size: 16}
scheduler: {name: asha, grace_period: 1, reduction_factor: 3}
resources: {cpus_per_trial: 1, gpus_per_trial: 0.25}
"""


@pytest.fixture(autouse=True)
def _task_in_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    Path("my_task.py").write_text(TASK)
    yield
    for name in ("my_task", "broken_task"):
        sys.modules.pop(name, None)


def load(text, *overrides):
    Path("c.yaml").write_text(text)
    return load_config("c.yaml", overrides).first


def problems_of(text, *overrides):
    with pytest.raises(ConfigError) as caught:
        load(text, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def trial_problems(trial, *overrides):
    return problems_of(MINIMAL.replace("trial: {}", f"trial: {trial}"), *overrides)


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
        "time": "1h30m",
        "steps": None,
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


def test_six_mistakes_in_six_places_are_told_with_their_lines():
    text = """\
task: my_task:MyTask
objective: {metric: miou, mode: maximum}
trial:
  model: {name: unet, widht: 16}
  optimizer:
    choice:
      - {name: adamw, lr: {loguniform: ["1e-4", 1e-1]}}
      - {name: sgd, lr: {loguniform: [1e-3, 1.0]}, momentun: 0.9}
  batch_size: {choice: [8, 16, 0]}
virtual_epoch: {steps: 50}
budget: {trails: 24}
"""
    assert problems_of(text) == [
        "c.yaml:2: objective.mode: received 'maximum'; must be 'max' or 'min'; did you mean 'max'?",
        "c.yaml:4: trial.model.widht: unknown key 'widht'; did you mean 'width'?",
        "c.yaml:7: trial.optimizer.adamw.lr: received the text '1e-4'; loguniform needs [low, high] with "
        "0 < low < high; write 1e-4 without quotes",
        "c.yaml:8: trial.optimizer.momentun: optimizer SGD has no option 'momentun'; nearest is 'momentum' "
        "(known: dampening, differentiable, foreach, fused, maximize, momentum, nesterov)",
        "c.yaml:9: trial.batch_size: received 0; must be greater than 0 or 'full'",
        "c.yaml:11: budget.trails: unknown key 'trails'; did you mean 'trials'?",
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("name: a/b", "name: received 'a/b'; must be at most 80 letters, digits"),
        ("name: ..", "name: received '..'; must be at most 80 letters, digits"),
        (f"name: {'x' * 81}", "name: received"),
        ("virtual_epoch: {}", "virtual_epoch: received none of them; must be exactly one of"),
        ("virtual_epoch: {steps: 1, epochs: 1}", "virtual_epoch: received steps and epochs; must be exactly"),
        ("virtual_epoch: {steps: 0}", "virtual_epoch.steps: received 0; must be greater than 0"),
        ("virtual_epoch: 50", "virtual_epoch: received 50; must be a mapping (key: value)"),
        ("budget: {time: 90}", "budget.time: received 90; must be a duration with units"),
        ("budget: {time: 5 minutes}", "budget.time: received '5 minutes'; must be a duration"),
        ("budget: {trials: 2.5}", "budget.trials: received 2.5; must be a whole number"),
        (
            "budget: {trials: {randint: [1, 9]}}",
            "budget.trials: received {randint: [1, 9]}; must be a whole number; domains stand under trial:",
        ),
        (
            "budget: {trials: 1000000000000001}",
            "budget.trials: received 1000000000000001; must be at most 10",
        ),
        ("budget: {time: 10001d}", "budget.time: received '10001d'; must be a duration with units"),
        ("timeout: 9999999999999999999d", "timeout: received '9999999999999999999d'; must be a duration"),
        (
            "sampler: {name: tpee}",
            "sampler.name: received 'tpee'; must be 'tpe', 'gp', 'qmc', 'random' or 'grid'",
        ),
        ("sampler: {name: forest}", "sampler.name: received 'forest'; must be 'tpe', 'gp', 'qmc'"),
        ("sampler: {name: cmaes}", "sampler.name: received 'cmaes'; must be 'tpe', 'gp', 'qmc'"),
        (
            "sampler: {points_to_evaluate: {a: 1}}",
            "sampler.points_to_evaluate: received {a: 1}; must be a list",
        ),
        (
            "sampler: {points_to_evaluate: [{batch_sise: 1}]}",
            "sampler.points_to_evaluate.0.batch_sise: unknown key 'batch_sise'",
        ),
        ("scheduler: {name: ash}", "scheduler.name: received 'ash'; must be one of 'asha', 'asha_stop'"),
        (
            "scheduler: {name: asha, patience: 1}",
            "scheduler.patience: unknown key 'patience'; known: grace_period",
        ),
        ("plateau: {patience: 0}", "plateau.patience: received 0; must be greater than 0"),
        ("plateau: {ema: 1.0}", "plateau.ema: received 1.0; must be less than 1"),
        ("budget: {plateau: {min_delta: 0.1}}", "budget.plateau.trials: is required and missing"),
        ("scheduler: {reduction_factor: 1}", "scheduler.reduction_factor: received 1; must be at least 2"),
        (
            "scheduler: {grace_period: 28}",
            "scheduler.grace_period: received 28; must be at most budget.max_virtual_epochs",
        ),
        ("resources: {gpus_per_trial: 1.5}", "resources.gpus_per_trial: received 1.5; must be at most 1"),
        (
            "resources: {gpus_per_trial: 2}",
            "resources.gpus_per_trial: received 2; must be at most 1, since a trial is one process, which uses one "  # noqa: E501
            "GPU; with 1 as many trials run at a time as there are GPUs",
        ),
        ("resources: {gpus_per_trial: 1e-5}", "resources.gpus_per_trial: received 1e-05; must be 0 or at"),
        (
            "resources: {cpus_per_trial: 5e-324}",
            "resources.cpus_per_trial: received 5e-324; must be at least",
        ),
        ("checkpoint: {keep: 0}", "checkpoint.keep: received 0; must be greater than 0"),
        ("max_failures: -1", "max_failures: received -1; must be at least 0"),
        ("max_failed_trials: .inf", "max_failed_trials: received inf; must be a"),
        ("bugdet: {}", "bugdet: unknown key 'bugdet'; did you mean 'budget'?"),
    ],
)
def test_a_problem_in_a_section_is_reported_in_a_sentence(section, message):
    lines = [line for line in MINIMAL.splitlines() if line.split(":")[0] != section.split(":")[0]]
    (problem,) = problems_of("\n".join([*lines, section]))
    assert problem.startswith(f"c.yaml:{len(lines) + 1}: {message}")


def test_grace_in_steps_is_not_held_against_virtual_epochs():
    assert load(MINIMAL + "scheduler: {grace_period: 500, axis: steps}").scheduler.grace_period == 500


def test_trial_that_is_one_domain_is_the_only_problem():
    for trial in ("{choice: [{batch_size: 1}, {batch_size: 2}]}", "{unifrom: [0, 1]}"):
        (problem,) = trial_problems(trial)
        assert problem.startswith("c.yaml:3: trial: ")


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


def test_missing_sections_are_told_together():
    assert problems_of("max_failed_trials: 1") == [
        "c.yaml:1: task: is required and missing",
        "c.yaml:1: objective: is required and missing",
        "c.yaml:1: trial: is required and missing",
        "c.yaml:1: virtual_epoch: is required and missing",
    ]


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ("{batch_sise: 1}", "trial.batch_sise: unknown key 'batch_sise'; did you mean 'batch_size'?"),
        (
            "{head: {kind: fnc}}",
            "trial.head.kind: received 'fnc'; must be one of 'fcn', 'deep'; did you mean 'fcn'?",
        ),
        ("{head: {depth: 1}}", "trial.head.kind: is required and missing; must be one of 'fcn', 'deep'"),
        ("{head: {kind: deep, atrus: [1]}}", "trial.head.atrus: unknown key 'atrus'; did you mean 'atrous'?"),
        ("{head: {kind: deep, atrous: [1, 0]}}", "trial.head.atrous.1: received 0; must be greater than 0"),
        (
            "{plain: {kind: fnc}}",
            "trial.plain.kind: received 'fnc'; must be 'fcn' or 'deep'; did you mean 'fcn'?",
        ),
        (
            "{plain: {kind: deep, atrus: []}}",
            "trial.plain.atrus: unknown key 'atrus'; did you mean 'atrous'?",
        ),
        ("{size: x}", "trial.size: received 'x'; must be a whole number or a list or 'auto'"),
        ("{size: [1, x]}", "trial.size.1: received 'x'; must be a whole number"),
        ("{model: 3}", "trial.model: received 3; must be a mapping (key: value)"),
        ("{compile: maybe}", "trial.compile: received 'maybe'; must be true or false"),
        ("{ema: 2}", "trial.ema: received 2; must be less than 1"),
        (
            "{optimizer: {name: adamv}}",
            "trial.optimizer.name: optimizer 'adamv' is not a class of torch.optim",
        ),
        ("{optimizer: {name: LBFGS}}", "trial.optimizer.name: optimizer 'LBFGS' cannot be used: "),
        ("{optimizer: {name: sparseadam}}", "trial.optimizer.name: optimizer 'sparseadam' cannot be used: "),
        (
            "{optimizer: {name: sgd, nesterov: true}}",
            "trial.optimizer: torch.optim refuses these values: ValueError: Nesterov momentum requires",
        ),
        ("{optimizer: {name: rprop, weight_decay: 0.1}}", "trial.optimizer: torch.optim refuses"),
    ],
)
def test_a_problem_in_the_trial_is_reported_in_a_sentence(trial, message):
    (problem,) = trial_problems(trial)
    assert problem.startswith(f"c.yaml:3: {message}")


def test_a_problem_in_one_option_or_bound_is_reported_once_at_its_line():
    text = MINIMAL.replace(
        "trial: {}",
        "trial:\n"
        "  batch_size: {choice: [8, 16]}\n"
        "  ema: {uniform: [0.5, 1.5]}\n"
        "  optimizer:\n"
        "    choice:\n"
        "      - {name: adamw}\n"
        "      - {name: sgd,\n"
        "         lr: {choice: [0.1, -0.1]}}\n",
    )
    assert problems_of(text) == [
        "c.yaml:5: trial.ema: received 1.5; must be less than 1",
        "c.yaml:10: trial.optimizer.lr: received -0.1; must be greater than 0",
    ]


def test_override_is_the_place_of_its_mistakes():
    assert trial_problems("{}", "trial.modle.width=3", "budget.trials=0") == [
        "--set budget.trials=0: budget.trials: received 0; must be greater than 0",
        "--set trial.modle.width=3: trial.modle: unknown key 'modle'; did you mean 'model'?",
    ]


def test_problem_of_a_tasks_own_validator_shows_what_was_received():
    (problem,) = trial_problems("{tag: badge}")
    assert problem == "c.yaml:3: trial.tag: received 'badge'; a tag must be good"


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


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            "segmentatoin",
            "received 'segmentatoin'; must be built in or package.module:Class; did you mean 'segmentation'",
        ),
        ("nowhere.module:Task", "there is no module 'nowhere' in the current folder or among the installed"),
        ("my_task:MyTsk", "the module my_task has no class 'MyTsk'; did you mean 'MyTask'?"),
        ("my_task:NoTask", "my_task:NoTask is not a subclass of trainables.task.Task, received class NoTask"),
        (
            "broken_task:Task",
            "the module broken_task cannot be imported: ZeroDivisionError: division by zero",
        ),
    ],
)
def test_task_that_cannot_be_used_is_told_at_its_line(task, message):
    Path("broken_task.py").write_text("1 / 0\n")
    (problem,) = problems_of(MINIMAL.replace("my_task:MyTask", task))
    assert problem.startswith(f"c.yaml:1: task: {message}")


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


def test_importing_the_configuration_imports_nothing_heavy():
    code = "import sys, search.config; print([m for m in ('torch', 'ray', 'optuna') if m in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
