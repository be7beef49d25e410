"""Generators and discriminators of one's own by their paths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import own_parts
import pytest
import torch
from gan_trials import SMALL, digits_and_classifier
from in_process import search_locally

import search
from search.config.stages import load_config
from search.errors import ConfigError, SearchError
from trainables.build import build_trainer
from trainables.gan.task import GANTask
from trainables.training.trainer import Trainer

GENERATOR = {"name": "own_parts:Generator"}
DISCRIMINATOR = {"name": "own_parts:Discriminator"}


@pytest.fixture(scope="module")
def arrays() -> Any:
    return digits_and_classifier()


def trainer_of(arrays: Any, **networks: Any) -> Trainer:
    options = GANTask.Options.parse({**SMALL, "model": {**SMALL["model"], **networks}})
    device = torch.device("cpu")
    return build_trainer(
        GANTask, options, arrays, unit="steps", count=20, num_virtual_epochs=3, device=device
    )


def test_both_players_are_trained_and_the_generator_is_the_model(arrays: Any) -> None:
    trainer = trainer_of(arrays, generator=GENERATOR, discriminator=DISCRIMINATOR)
    assert isinstance(trainer.model, own_parts.Generator)
    before = [
        part.clone()
        for part in (trainer.model.line.weight, trainer.task._adversary.discriminator.line.weight)
    ]
    metrics = trainer.run_virtual_epoch()
    after = [trainer.model.line.weight, trainer.task._adversary.discriminator.line.weight]
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert metrics["frechet_distance"] > 0


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            {"generator": {**GENERATOR, "size": 4}},
            "the generator returned [8, 1, 4, 4]; must be [8, 1, 8, 8], [samples, 1, 8, 8]",
        ),
        (
            {"discriminator": {**DISCRIMINATOR, "flat": True}},
            "the discriminator returned [8]; must be [8, 1], [samples, 1]",
        ),
    ],
)
def test_another_shape_is_told(arrays: Any, networks: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        trainer_of(arrays, **networks).run_virtual_epoch()


def config_of(**networks: Any) -> dict[str, Any]:
    return {
        "name": "gan",
        "task": "gan",
        "objective": {"metric": "frechet_distance", "mode": "min"},
        "virtual_epoch": {"steps": 10},
        "budget": {"trials": 2, "max_virtual_epochs": 2},
        "trial": {**SMALL, "model": {**SMALL["model"], **networks}},
    }


def test_an_unknown_argument_is_found_before_a_search() -> None:
    with pytest.raises(ConfigError, match=r"trial.model.generator.sise: .*did you mean 'size'"):
        load_config(config_of(generator={**GENERATOR, "sise": 8}))


def test_a_wrong_shape_ends_the_search_before_its_first_trial(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"the generator returned .*this was tried: trial.model.gen"):
        search_locally(config_of(generator={**GENERATOR, "size": 4}), results=tmp_path)


def test_the_export_has_the_lines_that_make_the_generator(tmp_path: Path) -> None:
    summary = search_locally(config_of(generator=GENERATOR, discriminator=DISCRIMINATOR), results=tmp_path)
    exported = search.export(summary.folder)
    card = (exported.folder / "README.md").read_text()
    assert "from own_parts import Generator" in card
    assert "model = Generator()" in card
