"""What does not go together: each rule of the table refuses, with its reason, and docs list it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import search_config

from search.config.combinations import RULES, Rule
from search.config.stages import load_config
from search.errors import ConfigError

DOCS = Path(__file__).parents[2] / "docs"
PBT: dict[str, Any] = {
    "scheduler": {"name": "pbt", "interval": 3},
    "budget": {"trials": 4, "max_virtual_epochs": 9},
    "sampler": {"name": "random"},
}
SEVERAL: dict[str, Any] = {
    "objective": None,
    "objectives": [{"metric": "accuracy", "mode": "max"}, {"metric": "parameters", "mode": "min"}],
}
FUNCTION: dict[str, Any] = {"task": "race_functions:noisy", "trial": {"lr": {"loguniform": [0.1, 0.2]}}}
WORKERS: dict[str, Any] = {"resources": {"workers_per_trial": 2}}
FEATURES = {
    "pbt": PBT,
    "several objectives": SEVERAL,
    "a training function": FUNCTION,
    "several workers": WORKERS,
}
STAGES = [{"name": "first"}, {"name": "second"}]
ASKED: dict[tuple[str, str], dict[str, Any]] = {
    ("pbt", "`full_trainings`"): {"budget.full_trainings": 5},
    ("pbt", "`time`"): {"budget.time": "1h"},
    ("pbt", "`steps`"): {"budget.steps": 100},
    ("pbt", "`samples`"): {"budget.samples": 100},
    ("pbt", "`gpu_hours`"): {"budget.gpu_hours": 1, "resources": {"gpus_per_trial": 1}},
    ("pbt", "`budget.plateau`"): {"budget.plateau": {"trials": 3}},
    ("pbt", "`plateau`"): {"plateau": {"patience": 2}},
    ("pbt", "samplers that learn"): {"sampler": {"name": "tpe", "startup_trials": 2}},
    ("pbt", "`objective.window`"): {"objective": {"metric": "accuracy", "mode": "max", "window": 2}},
    ("pbt", "`confirm`"): {"confirm": {"top": 2}},
    ("pbt", "`storage`"): {"storage": "file:///mnt/runs"},
    ("pbt", "a stage with pbt before another one"): {"stages": STAGES},
    ("several objectives", "`window`"): {
        "objectives": [{**objective, "window": 2} for objective in SEVERAL["objectives"]]
    },
    ("several objectives", "`stages`"): {"stages": STAGES},
    ("several objectives", "`confirm`"): {"confirm": {"top": 2}},
    ("several objectives", "`plateau`"): {"plateau": {"patience": 2}},
    ("several objectives", "`budget.plateau`"): {"budget.plateau": {"trials": 3}},
    ("several objectives", "`asha_stop`, `hyperband`, `median`, `percentile` and `pbt`"): {
        "scheduler": {"name": "median"}
    },
    ("several objectives", "`scheduler.audit`"): {"scheduler": {"name": "asha", "audit": 2}},
    ("a training function", "`scheduler: pbt`"): PBT,
    ("a training function", "`limits`"): {"limits": {"parameters": "1M"}},
    ("a training function", "measured `objectives`"): {
        "objective": None,
        "objectives": [{"metric": "loss", "mode": "min"}, {"metric": "latency", "mode": "min"}],
    },
    ("several workers", "`limits.memory`"): {
        "limits": {"memory": "1GB"},
        "resources": {"gpus_per_trial": 2},
    },
    ("several workers", "`memory` among `objectives`"): {
        "objective": None,
        "objectives": [{"metric": "accuracy", "mode": "max"}, {"metric": "memory", "mode": "min"}],
        "resources": {"gpus_per_trial": 2},
    },
    ("several workers", "training functions, and tasks with steps of their own such as `gan`"): FUNCTION,
}
PASSAGES = {
    "pbt": ("pbt.md", "## What it does not go with\n", "\n**Disk"),
    "several objectives": ("objectives.md", "- **Refused before the search**", "\n- "),
    "a training function": ("objectives.md", "A training function\nmakes its model", "\n\n"),
    "several workers": ("several_processes.md", "## What it does not go with\n", "\n## "),
}
OTHER_REFUSALS = {
    # In the lists of docs, and refused elsewhere: as an unknown key, by commands, or when a run goes on.
    "pbt": {"scheduler.audit", "tune-search audit", "tune-search confirm", "resume", "--from-run"}
    | {"tpe", "gp", "startup_trials", "random", "qmc", "grid"},
    "several objectives": {"tune-search confirm", "audit"},
    "a training function": set(),
    "several workers": {"batch_size: auto", "--local", "prepare_step()", "DataLoader", "IterableDataset"}
    | {"merge(total)", "batch_size", "resources.workers_per_trial"},
}


def configuration(rule: Rule) -> dict[str, Any]:
    """A feature with what is refused with it."""
    tree = {**search_config(), **FEATURES[rule.feature]}
    for key, value in ASKED[rule.feature, rule.other].items():
        section, _, name = key.partition(".")
        tree[section] = {**tree[section], name: value} if name else value
    return {key: value for key, value in tree.items() if value is not None}


def test_features_are_taken_without_what_is_refused_with_them() -> None:
    for feature, sections in FEATURES.items():
        tree = {**search_config(), **sections}
        if feature == "a training function":
            tree["objective"] = {"metric": "loss", "mode": "min"}
        load_config({key: value for key, value in tree.items() if value is not None})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.feature}-{rule.other}")
def test_each_rule_refuses_at_the_key_with_its_reason(rule: Rule) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(configuration(rule))
    reason = rule.message.partition("{value}")[2] or rule.message
    (told,) = (problem for problem in error.value.problems if reason in problem.message)
    assert told.path.startswith(".".join(map(str, rule.at)))
    assert "{value}" not in told.message


def words_of(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


@pytest.mark.parametrize("feature", PASSAGES)
def test_docs_list_the_rules_of_the_table_and_no_others(feature: str) -> None:
    file, begin, end = PASSAGES[feature]
    text = (DOCS / file).read_text(encoding="utf-8")
    passage = text[text.index(begin) : text.index(end, text.index(begin) + len(begin))]
    rules = [rule for rule in RULES if rule.feature == feature and rule.other != "`scheduler: pbt`"]
    for rule in rules:
        assert " ".join(rule.other.split()) in " ".join(passage.split()), rule.other
    known = {word for rule in rules for word in words_of(rule.other)}
    assert words_of(passage) - OTHER_REFUSALS[feature] == known


def test_a_rule_is_not_asked_of_a_section_with_problems_of_its_own() -> None:
    sampler = {"name": "tpe", "startup_trials": 10}
    tree = {**search_config(), **PBT, "sampler": sampler, "budget": {"trials": 10, "foo": 1}}
    with pytest.raises(ConfigError) as refusal:
        load_config(tree)
    assert "foo" in str(refusal.value)
    assert "learns from values" not in str(refusal.value)


def test_training_functions_are_in_the_list_of_pbt() -> None:
    file, begin, end = PASSAGES["pbt"]
    text = (DOCS / file).read_text(encoding="utf-8")
    assert "- training functions: " in text[text.index(begin) : text.index(end)]
