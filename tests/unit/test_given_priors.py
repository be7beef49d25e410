"""Priors from elsewhere, a recipe or another trial: what is taken, what is not and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from in_process import search_locally
from tiny_tasks import search_config

from search import api
from search.config.document import Document
from search.config.given_priors import DEFAULT_NAMES, Source, with_priors, with_recorded
from search.config.sections.recipes import RECIPES
from search.config.stages import load_config
from search.errors import ConfigError
from search.run.before.priors import resolved_priors
from search.space.offers import offers
from search.space.parse import parse_space

ADAMW = {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}, "weight_decay": {"uniform": [0.0, 0.5]}}
SGD = {"name": "sgd", "lr": {"loguniform": [1e-3, 1.0]}}
SPACE: dict[str, Any] = {
    "model": {"width": {"choice": [16, 32]}},
    "optimizer": {"choice": [ADAMW, SGD]},
    "batch_size": {"randint": [8, 64]},
}
TRIAL = {
    "model": {"width": 64},
    "optimizer": {"name": "adamw", "lr": 3e-3, "betas": [0.9, 0.95]},
    "batch_size": 16,
}


def offered(space: dict[str, Any], trial: dict[str, Any]) -> dict[str, Any]:
    """The value of each domain, or why it has none."""
    found = offers(parse_space(space).root, trial, DEFAULT_NAMES)
    return {offer.domain.name: offer.against or offer.value for offer in found}


def document(trial: dict[str, Any], **sections: Any) -> Document:
    return Document("config", None, {"trial": trial, **sections}, {})


def test_a_domain_gets_the_value_of_its_place_or_the_reason_against_it() -> None:
    assert offered(SPACE, TRIAL) == {
        "model.width": "64 is not in choice 16, 32",
        "optimizer": "adamw",
        "optimizer.adamw.lr": 3e-3,
        "optimizer.adamw.weight_decay": "it has no such value",
        "optimizer.sgd.lr": "it has adamw there",
        "batch_size": 16,
    }


@pytest.mark.parametrize(
    ("optimizer", "value"),
    [
        ({"name": "sgd", "lr": 0.1}, "it has sgd there"),
        ({"name": "adamw", "lr": 0.1}, 0.1),
        ({"lr": 0.1}, 0.1),
        ({"name": "adamw", "lr": 1.0}, "1.0 is not in loguniform 0.0001 .. 0.1"),
    ],
)
def test_a_learning_rate_of_another_optimizer_is_none_of_this_one(optimizer: Any, value: Any) -> None:
    """Also where the space leaves the name to the default, which is adamw."""
    for space in (ADAMW, {key: item for key, item in ADAMW.items() if key != "name"}):
        assert offered({"optimizer": space}, {"optimizer": optimizer})["optimizer.lr"] == value


def test_options_without_names_are_found_by_what_they_hold() -> None:
    space = {"mixup": {"choice": [0.0, {"uniform": [0.1, 2.0]}]}, "sizes": [{"randint": [1, 9]}, 3]}
    assert offered(space, {"mixup": 0.0, "sizes": [4, 3]}) == {
        "mixup": 0.0,
        "mixup.1": "it has 0.0 there",
        "sizes.0": 4,
    }
    assert offered(space, {"mixup": 0.5, "sizes": [4]}) | {"mixup": None} == {
        "mixup": None,
        "mixup.1": 0.5,
        "sizes.0": "it has [4] there",
    }


def test_a_written_prior_stays_and_an_earlier_source_goes_before_a_later_one() -> None:
    space = SPACE | {"batch_size": {"randint": [8, 64], "prior": 32}}
    sources = [
        Source("the run", [(TRIAL, "high")]),
        Source("the recipe", RECIPES["segmentation"].parts({"trial": space})),
    ]
    found, lines = with_priors(document(space, priors="segmentation"), sources)
    point = parse_space(found.tree["trial"]).prior_point
    assert point == {
        "optimizer": "adamw",
        "optimizer.adamw.lr": 3e-3,
        "optimizer.adamw.weight_decay": 0.01,
        "batch_size": 32,
    }
    assert found.tree["trial"]["optimizer"]["choice"][0]["lr"]["confidence"] == "high"
    assert found.tree["trial"]["optimizer"]["choice"][1]["lr"]["prior"] == 0.03
    assert "priors" not in found.tree
    assert lines == [
        "priors that are written stay: batch_size",
        "priors from the run: optimizer adamw (high), optimizer.adamw.lr 0.003 (high)",
        "no prior from the run: model.width (64 is not in choice 16, 32), optimizer.adamw.weight_decay "
        "(it has no such value), optimizer.sgd.lr (it has adamw there)",
        "priors from the recipe: optimizer.adamw.weight_decay 0.01 (low), optimizer.sgd.lr 0.03 (low)",
        "no prior from the recipe: model.width (it has no such value)",
    ]
    assert space["optimizer"]["choice"][0]["lr"] == {"loguniform": [1e-4, 1e-1]}


def test_a_begun_search_keeps_its_priors_and_a_domain_that_was_another_gets_none() -> None:
    begun, _ = with_priors(document(SPACE), [Source("the run", [(TRIAL, "high")])])
    wider = SPACE | {"batch_size": {"randint": [8, 128]}}
    again, other = with_recorded(document(wider, priors={"from_run": "gone"}), begun.tree)
    assert again.tree["trial"]["optimizer"] == begun.tree["trial"]["optimizer"]
    assert again.tree["trial"]["batch_size"] == {"randint": [8, 128]}
    assert other == ["batch_size"]


@pytest.mark.parametrize(
    ("model", "rate"),
    [({"name": "unet"}, 3e-3), ({"name": "segformer", "path": "b0"}, 6e-5), ({"name": "segformer"}, 3e-3)],
)
def test_the_recipe_of_segmentation_has_a_smaller_rate_for_pretrained_models(model: Any, rate: float) -> None:
    space = {"model": model, "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-5, 1e-1]}}}
    found, _ = with_priors(document(space), [Source("it", RECIPES["segmentation"].parts({"trial": space}))])
    assert found.tree["trial"]["optimizer"]["lr"] == space["optimizer"]["lr"] | {
        "prior": rate,
        "confidence": "medium",
    }


def test_each_stage_has_the_priors_of_its_own_domains() -> None:
    stages = [
        {
            "name": "rate",
            "trial": {"optimizer": {"lr": {"loguniform": [1e-4, 1e-1]}}},
            "budget": {"trials": 2},
        },
        {"name": "width", "trial": {"model": {"hidden": {"choice": [8, 16]}}}, "budget": {"trials": 2}},
    ]
    trial = {"model": {"hidden": 8}, "optimizer": {"name": "adamw"}, "batch_size": 16}
    loaded = load_config(search_config(trial=trial, stages=stages, priors="segmentation"))
    lines: list[str] = []
    found = resolved_priors(loaded, None, lines.append)
    assert [stage.configs[0].space.prior_point for stage in found.stages] == [{"optimizer.lr": 3e-3}, {}]
    assert "no prior from the recipe segmentation: model.hidden (it has no such value)" in lines


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ("segmentatoin", "priors: received 'segmentatoin'; must be segmentation; did you mean"),
        ({}, "priors: must name a run or a recipe: from_run: results/NAME, or recipe: segmentation"),
        ({"recipe": "segmentation", "confidence": "hgih"}, "did you mean 'high'?"),
        ({"from_run": "results/none"}, "priors.from_run: received results/none; "),
    ],
)
def test_priors_that_are_nowhere_are_refused_with_the_way_out(
    priors: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        resolved_priors(load_config(search_config(priors=priors)), None, lambda line: None)
    assert message in str(caught.value)


RATE = {"optimizer": {"lr": {"loguniform": [1e-4, 1e-1]}}}


def stage_taken(first: Any, *stages: dict[str, Any]) -> list[str]:
    """Where a recipe's values for both optimizers have been put, in a search in stages."""
    named = [{"name": f"s{number}", "trial": trial} for number, trial in enumerate(stages)]
    written = document({"optimizer": first}, stages=named, priors="segmentation")
    found, _ = with_priors(written, [Source("it", RECIPES["segmentation"].parts({"trial": {}}))])
    rates = [stage["trial"].get("optimizer", {}).get("lr", {}) for stage in found.tree["stages"]]
    return [str(rate.get("prior")) for rate in rates]


def test_a_later_stage_gets_the_prior_of_the_optimizer_that_an_earlier_one_names() -> None:
    assert stage_taken({"name": "sgd"}, RATE) == ["0.03"]
    assert stage_taken({"name": "sgd"}, {"optimizer": {"name": "adamw"}}, RATE) == ["None", "0.003"]
    assert stage_taken({"name": "sgd"}, {"batch_size": 4}, RATE) == ["None", "0.03"]
    assert stage_taken({"betas": [0.9, 0.99]}, RATE) == ["0.003"]


@pytest.mark.parametrize("first", [{"choice": [ADAMW, SGD]}, {"name": {"choice": ["adamw", "sgd"]}}])
def test_a_learning_rate_of_an_optimizer_that_is_searched_elsewhere_gets_no_prior(first: Any) -> None:
    assert stage_taken(first, RATE) == ["None"]


def test_a_rate_beside_a_name_that_is_searched_gets_no_prior_but_the_name_does() -> None:
    space = {"optimizer": {"name": {"choice": ["adamw", "sgd"]}, **RATE["optimizer"]}}
    assert offered(space, TRIAL) == {
        "optimizer.name": "adamw",
        "optimizer.lr": "it may be of another, as the name is searched too",
    }


def test_a_schedule_without_a_name_is_the_default_one() -> None:
    space = {"lr_schedule": {"warmup": {"uniform": [0.0, 0.5]}}}
    for name, value in [("cosine", "it has cosine there"), ("constant", 0.1)]:
        trial = {"lr_schedule": {"name": name, "warmup": 0.1}}
        assert offered(space, trial) == {"lr_schedule.warmup": value}
    named = {"lr_schedule": {"name": "cosine", **space["lr_schedule"]}}
    assert offered(named, {"lr_schedule": {"warmup": 0.1}}) == {"lr_schedule.warmup": "it has constant there"}


@pytest.mark.parametrize("priors", [["x"], 3])
def test_a_section_of_priors_that_is_wrong_is_refused_beside_a_run_too(priors: Any) -> None:
    with pytest.raises(ConfigError, match=r"priors: received .*[x3]"):
        load_config(search_config(priors=priors), priors_from="results/a")


def test_priors_beside_a_loaded_configuration_are_refused(tmp_path: Path) -> None:
    loaded = load_config(search_config())
    for run in (search_locally, api.search):
        with pytest.raises(TypeError, match=r"priors_from='results/a'; give that to load_config"):
            run(loaded, results=tmp_path, priors_from="results/a")
    assert not list(tmp_path.iterdir())
