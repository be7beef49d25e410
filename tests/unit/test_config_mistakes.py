"""Mistakes in a configuration: each one with its line, the value received and the rule."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_task import MINIMAL, problems_of, trial_problems

pytestmark = pytest.mark.usefixtures("task_in_current_folder")


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
        "c.yaml:9: trial.batch_size: received 0; must be greater than 0, 'full' or 'auto'",
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
        ("sampler: {name: random, kernels: one_width}", "sampler: random has no kernels, of which tpe draws"),
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
            "scheduler.patience: unknown key 'patience'; known: audit, grace_period",
        ),
        ("plateau: {patience: 0}", "plateau.patience: received 0; must be greater than 0"),
        ("plateau: {ema: 1.0}", "plateau.ema: received 1.0; must be less than 1"),
        ("budget: {plateau: {min_delta: 0.1}}", "budget.plateau.trials: is required and missing"),
        ("scheduler: {reduction_factor: 1}", "scheduler.reduction_factor: received 1; must be at least 2"),
        (
            "scheduler: {grace_period: 28}",
            "scheduler.grace_period: received 28; must be at most budget.max_virtual_epochs",
        ),
        (
            "resources: {gpus_per_trial: 1.5}",
            "resources.gpus_per_trial: received 1.5; must be at most 1, or a whole number of GPUs, each with",
        ),
        (
            "resources: {gpus_per_trial: 2, workers_per_trial: 4}",
            "resources.workers_per_trial: received 4; must be 2, as each worker takes one GPU, and",
        ),
        (
            "resources: {gpus_per_trial: 0.5, workers_per_trial: 2}",
            "resources.workers_per_trial: received 2; each worker takes one GPU, or none, and "
            "gpus_per_trial is 0.5; give gpus_per_trial: 2, or leave workers_per_trial out",
        ),
        (
            "resources: {cpus_per_trial: 1, workers_per_trial: 2}",
            "resources.workers_per_trial: received 2; each worker takes a CPU or more, and "
            "cpus_per_trial is 1; leave cpus_per_trial out, or give 2 or more",
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


def test_trial_that_is_one_domain_is_the_only_problem():
    for trial in ("{choice: [{batch_size: 1}, {batch_size: 2}]}", "{unifrom: [0, 1]}"):
        (problem,) = trial_problems(trial)
        assert problem.startswith("c.yaml:3: trial: ")


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


def test_a_domain_that_is_broken_has_one_message():
    text = MINIMAL.replace("trial: {}", "trial: {optimizer: {lr: {choice: [1e-3, 0.001]}}}")
    assert problems_of(text) == [
        "c.yaml:3: trial.optimizer.lr: option 2 of the choice, 0.001, repeats option 1, 0.001"
    ]


def test_override_is_the_place_of_its_mistakes():
    assert trial_problems("{}", "trial.modle.width=3", "budget.trials=0") == [
        "--set budget.trials=0: budget.trials: received 0; must be greater than 0",
        "--set trial.modle.width=3: trial.modle: unknown key 'modle'; did you mean 'model'?",
    ]


def test_problem_of_a_tasks_own_validator_shows_what_was_received():
    (problem,) = trial_problems("{tag: badge}")
    assert problem == "c.yaml:3: trial.tag: received 'badge'; a tag must be good"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            "segmentatoin",
            "received 'segmentatoin'; must be built in or package.module:Class; did you mean 'segmentation'",
        ),
        ("nowhere.module:Task", "there is no module 'nowhere' in the current folder or among the installed"),
        ("my_task:MyTsk", "the module my_task has no class or function 'MyTsk'; did you mean 'MyTask'?"),
        (
            "my_task:NoTask",
            "my_task:NoTask is neither a subclass of trainables.task.Task nor a",
        ),
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


def objective_problems(task, metric):
    text = f"task: {task}\nobjective: {{metric: {metric}, mode: max}}\ntrial: {{}}\n"
    return [problem for problem in problems_of(text) if "objective" in problem]


@pytest.mark.parametrize(
    ("task", "metric", "message"),
    [
        (
            "segmentation",
            "mIoU",
            "miou, mean_dice, pixel_accuracy, iou/<class>, dice/<class>, boundary_iou, boundary_iou/<class>; "
            "did you mean 'miou'?",
        ),
        ("classification", "acc", "accuracy, balanced_accuracy, macro_f1, calibration_error"),
        ("regression", "loss", "mse, rmse, mae, r2"),
        ("gan", "fid", "frechet_distance, class_coverage, discriminator_loss"),
        ("my_task:Declaring", "mine", "yours, part/<class>"),
    ],
)
def test_an_objective_that_the_task_does_not_report_is_refused_before_a_search(task, metric, message):
    (problem,) = objective_problems(task, metric)
    assert problem.startswith(f"c.yaml:2: objective.metric: received '{metric}'; the task reports {message}")


@pytest.mark.parametrize("metric", ["boundary_iou", "boundary_iou/road"])
def test_an_objective_that_needs_an_option_names_the_line_which_works(metric):
    (problem,) = objective_problems("segmentation", metric)
    line = "trial.validation.boundary_iou: 0.02"
    rule = f"received '{metric}', which is not computed unless its option is set: {line}"
    assert problem == f"c.yaml:2: objective.metric: {rule}"
    text = f"task: segmentation\nobjective: {{metric: {metric}, mode: max}}\n"
    text += "trial:\n  validation: {boundary_iou: {choice: [0.02, 0.05]}}\n"
    assert not [problem for problem in problems_of(text) if "objective" in problem]


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("segmentation", "iou/road"),
        ("segmentation", "dice/road"),
        ("segmentation", "valid_loss"),
        ("my_task:Declaring", "part/x"),
        ("my_task:Overriding", "mine"),
        ("my_task:MyTask", "mine"),
    ],
)
def test_an_objective_that_the_task_may_report_is_taken(task, metric):
    assert objective_problems(task, metric) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("my_task", "my_task:CLASS"),
        ("my_task.MyTask", "my_task:MyTask"),
        ("a/my_task.py:MyTask", "a.my_task:MyTask"),
        ("my_task.py", "my_task:CLASS"),
    ],
)
def test_a_task_that_is_written_otherwise_is_told_how_it_is_written(written, meant):
    (problem,) = problems_of(MINIMAL.replace("my_task:MyTask", written))
    assert problem.endswith(f"must be built in or package.module:Class; did you mean '{meant}'?")
