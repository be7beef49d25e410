"""Searches over images of five channels: overlapping classes, killed and resumed, in shards, exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from recorder import Recorder
from small_trials import assert_identical, everything, run, segmentation_plan
from tiny_tasks import search_config

from search.commands.check_data import check_data
from search.exports.export import export
from search.run.search import search as run_search

NAMES = ["field", "water"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten images of five channels, in arrays, each with a mask file for each class that it has."""
    rng = np.random.default_rng(0)
    for number in range(10):
        planes = rng.random((2, 5, 6)).repeat(4, axis=1).repeat(4, axis=2) < 0.4
        planes[1] &= number != 3
        bands = np.stack([3000 * planes[0], 100 * planes[1], *rng.integers(0, 900, (3, 20, 24))], -1)
        file = tmp_path / f"data/images/{number}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, (bands + rng.integers(0, 50, bands.shape)).astype(np.uint16))
        for name, plane in zip(NAMES, planes, strict=True):
            mask = tmp_path / f"data/masks/{name}/{number}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            if plane.any():
                Image.fromarray(plane.astype(np.uint8) * 255).save(mask)
    return tmp_path / "data"


def options(root: Path, **data: Any) -> dict[str, Any]:
    return {
        "data": {"source": "folder", "root": str(root), "labels": "multilabel", "class_names": NAMES, **data},
        "model": {"name": "unet", "width": 4, "depth": 1},
        "augment": {
            "crop": 16,
            "scale_min": 0.7,
            "scale_max": 1.4,
            "horizontal_flip": 0.5,
            "gamma": 0.2,
            "oversample": {"p": 0.5, "classes": ["water"]},
            "rotation": {"degrees": 20},
            "blur": {},
            "noise": {},
            "cutmix": {"p": 0.5},
        },
        "loss": {"dice": 0.5, "class_weights": "median_frequency"},
        "validation": {"boundary_iou": 0.05, "flips": "both"},
        "batch_size": 2,
        "accumulate": 2,
    }


def test_a_trial_is_the_same_in_memory_on_disk_with_workers_and_after_it_was_killed(
    tmp_path: Path, root: Path
) -> None:
    def plan(name: str, **data: Any) -> Any:
        trial = options(root, **data)
        return segmentation_plan(
            tmp_path / name, options=trial, metric="boundary_iou", count=3, num_virtual_epochs=3
        )

    alone = run(plan("alone"))
    assert_identical(everything(run(plan("disk", max_memory=0))), everything(alone))
    assert_identical(everything(run(plan("workers", max_memory=0, workers=2))), everything(alone))
    killed = run(plan("killed", max_memory=0), 1)
    resumed = run(killed.plan)
    assert_identical(everything(resumed), everything(alone))


@pytest.mark.usefixtures("ray_session")
def test_a_search_is_exported_with_its_channels_and_what_its_outputs_mean(tmp_path: Path, root: Path) -> None:
    config = search_config(
        task="segmentation",
        objective={"metric": "boundary_iou", "mode": "max"},
        trial=options(root),
        virtual_epoch={"steps": 3},
        sampler={"name": "random", "seed": 0},
        budget={"trials": 2, "max_virtual_epochs": 2},
        scheduler={"name": "none"},
    )
    summary = run_search(config, results=tmp_path / "results", reporter=Recorder())
    assert summary.counts == {"completed": 2}
    exported = export(summary.folder)
    assert exported.evaluated
    assert summary.best is not None
    assert exported.value == pytest.approx(summary.best.value, rel=1e-6)
    described = json.loads((exported.folder / "preprocessing.json").read_text())
    assert (described["channels"], described["threshold"], described["class_names"]) == (5, 0.5, NAMES)
    assert np.array(described["range"]).shape == (2, 5)
    card = (exported.folder / "README.md").read_text()
    assert "Inputs have 5 channels" in card
    assert "sigmoid" in card


def test_shares_of_classes_that_overlap_are_of_all_pixels(tmp_path: Path, root: Path) -> None:
    found = check_data(
        {"name": "x", "task": "segmentation", "trial": options(root)}
        | {
            "objective": {"metric": "miou", "mode": "max"},
            "budget": {"trials": 1, "max_virtual_epochs": 1},
            "virtual_epoch": {"steps": 1},
        }
    )
    assert not found.errors
    assert {part: found.totals[part] for part in found.totals} == {"train": 8 * 480, "valid": 2 * 480}
    held = [np.asarray(Image.open(file)) > 0 for file in (root / "masks/field").glob("*.png")]
    assert sum(found.classes[0].counts.values()) == np.sum(held)


def test_a_binary_search_over_tiff_in_windows(tmp_path: Path, root: Path) -> None:
    for file in (root / "images").glob("*.npy"):
        tifffile.imwrite(
            file.with_suffix(".tif"), np.load(file), photometric="minisblack", planarconfig="contig"
        )
        file.unlink()
        (root / f"masks/field/{file.stem}.png").rename(root / f"masks/{file.stem}.png")
        (root / f"masks/water/{file.stem}.png").unlink(missing_ok=True)
    trial = options(root, labels="binary", class_names=["field"], mask_values={255: 1})
    trial["validation"] = {"window": 16, "flips": "horizontal"}
    trial["augment"]["oversample"]["classes"] = ["field"]
    done = run(segmentation_plan(tmp_path / "binary", options=trial, count=4, num_virtual_epochs=4))
    assert done.trainer.model.head.out_channels == 1
    assert set(done.history[0]) >= {"miou", "iou/field", "dice/field"}
