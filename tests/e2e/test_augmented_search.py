"""Augmentations of several samples and of many random numbers: alike in any process and after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from recorder import Recorder, optuna_study
from shard_data import squares
from small_trials import assert_identical, everything, run, segmentation_plan
from tiny_tasks import search_config

from search.exports.export import export
from search.run.search import search as run_search

AUGMENT: dict[str, Any] = {
    "crop": 16, "scale_min": 0.7, "scale_max": 1.4, "horizontal_flip": 0.5, "rotate_90": 0.3,
    "oversample": {"p": 0.5, "classes": [1]}, "rotation": {"degrees": 30}, "blur": {},
    "elastic": {"alpha": 20, "sigma": 4}, "low_resolution": {}, "noise": {},
    "mosaic": {"p": 0.3}, "cutmix": {"p": 0.3}, "cutout": {},
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve images of several sizes, two classes."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 9), ("val", 3)):
        for kind in ("images", "masks"):
            (tmp_path / "data" / part / kind).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((16 + number, 20), np.uint8)
            mask[:, number : number + 6] = 1
            image = (mask[..., None] * 120 + rng.integers(0, 100, (*mask.shape, 3))).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / f"data/{part}/images/{number}.png")
            Image.fromarray(mask).save(tmp_path / f"data/{part}/masks/{number}.png")
    return tmp_path / "data"


def options(data: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "data": data,
        "model": {"name": "unet", "width": 4, "depth": 1, "dropout": 0.3},
        "augment": AUGMENT,
        "validation": {"flips": "both"},
        "batch_size": 2,
        "accumulate": 2,
        **others,
    }


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_a_trial_is_the_same_with_any_number_of_workers_also_after_it_was_killed(
    tmp_path: Path, root: Path, kind: str
) -> None:
    data: dict[str, Any] = {"source": "folder", "root": str(root), "max_memory": 0}
    if kind == "shards":
        squares(tmp_path / "shards")
        places = {"root": str(tmp_path / "shards"), "train": "train-*.tar", "valid": "valid-*.tar"}
        data = {"source": "shards", "num_classes": 2, **places}

    def plan(name: str, **more: Any) -> Any:
        trial = options({**data, **more})
        return segmentation_plan(tmp_path / name, options=trial, count=3, num_virtual_epochs=3)

    alone = run(plan("alone"))
    together = run(plan("together", workers=2))
    assert together.trainer.stream._num_workers == 2
    assert_identical(everything(together), everything(alone))
    killed = run(plan("killed", workers=2), 1)
    killed.trainer.stream.next_step(2)
    resumed = run(killed.plan)
    killed.trainer.stream.close()
    assert_identical(everything(resumed), everything(alone))


@pytest.mark.usefixtures("ray_session")
def test_a_search_over_augmentations_is_exported_with_the_value_of_its_flips(
    tmp_path: Path, root: Path
) -> None:
    """Any value below `augment` may be searched; the export evaluates its files as trials were validated."""
    searched = {
        **AUGMENT,
        "rotation": {"p": 0.5, "degrees": {"uniform": [0, 90]}},
        "noise": {"choice": [None, {"std": 0.2}]},
        "oversample": {"p": {"choice": [0, 0.5]}},
    }
    data = {"source": "folder", "root": str(root)}
    config = search_config(
        task="segmentation",
        objective={"metric": "miou", "mode": "max"},
        trial=options(data, augment=searched, validation={"flips": "both", "window": 16}),
        virtual_epoch={"steps": 3},
        sampler={"name": "random", "seed": 0},
        budget={"trials": 3, "max_virtual_epochs": 2},
        scheduler={"name": "none"},
    )
    summary = run_search(config, results=tmp_path / "results", reporter=Recorder())
    assert summary.counts == {"completed": 3}
    assert {"augment.rotation.degrees", "augment.noise", "augment.oversample.p"} <= set(
        optuna_study(summary.folder).trials[0].params
    )
    exported = export(summary.folder)
    assert exported.evaluated
    assert summary.best is not None
    assert exported.value == pytest.approx(summary.best.value, rel=1e-6)
    assert "averaged over flips (both)" in (exported.folder / "preprocessing.json").read_text()
