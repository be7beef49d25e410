"""The folders in which the blocks of the pages are run: what a reader of each page has there, in small.

`configs/` holds the configurations of the repository with tiny data and budgets, so that the commands of the
pages can stand as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
from broken_folder import broken_folder, intact_folder
from fold_data import mask_folder, table
from in_process import search_locally
from PIL import Image
from rooms import ROOT
from ruamel.yaml import YAML
from sklearn.datasets import load_diabetes

import search

BUDGET = {"trials": 6, "max_virtual_epochs": 3}
STREETS = """\
task: segmentation
objective: {metric: miou, mode: max}
trial:
  data: {source: folder, root: data/streets}
  model: {name: unet, width: 4, depth: 1}
  optimizer: {name: adamw, lr: {loguniform: [1e-3, 1e-1]}}
  batch_size: 4
virtual_epoch: {steps: 2}
budget: {trials: 2, max_virtual_epochs: 2}
"""
PATIENTS = """\
task: classification
objective: {metric: accuracy, mode: max}
trial:
  data: {source: csv, path: data/patients.csv, target: kind, folds: 3, group: patient}
  model: {name: mlp}
virtual_epoch: {steps: 2}
"""


def small_configs(folder: Path) -> None:
    """The repository's configurations, each with six trials of three virtual epochs of few samples."""
    yaml = YAML()
    folder.mkdir()
    for file in sorted((ROOT / "configs").glob("*.yaml")):
        tree = yaml.load(file)
        tree["budget"] = dict(BUDGET)
        tree["virtual_epoch"] = {"samples": 8} if "samples" in tree["virtual_epoch"] else {"steps": 2}
        trial = tree["trial"]
        if trial.get("data", {}).get("source") == "digits" and tree["task"] == "segmentation":
            trial["data"] |= {"num_train": 32, "num_valid": 8}
        if "batch_size" in trial and not isinstance(trial["batch_size"], dict):
            trial["batch_size"] = 4
        tree.pop("timeout", None)
        yaml.dump(tree, folder / file.name)


def common_folder(folder: Path) -> Path:
    """What most pages speak of: configs/, data/streets, photos, an exported search in results/seg."""
    folder.mkdir()
    small_configs(folder / "configs")
    intact_folder(folder / "data" / "streets")
    (folder / "configs" / "streets.yaml").write_text(STREETS)
    (folder / "configs" / "wider.yaml").write_text(
        "base: seg.yaml\ntrial: {model: {width: {choice: [4, 8, 16]}}}\n"
    )
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8)).save(folder / "photos" / f"{number}.png")
    Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8)).save(folder / "photo.jpg")
    with chdir(folder):
        exported("seg.yaml", "seg")
    return folder


def lanes(folder: Path) -> None:
    from made_lanes import write_lanes

    write_lanes(folder / "lanes.npz")


def own_parts(folder: Path) -> None:
    (folder / "my_losses.py").write_text("def tversky(outputs, targets, alpha=0.5): ...\n")
    (folder / "my_optimizers.py").write_text("from torch.optim import AdamW as Lion\n")
    (folder / "my_augmentation.py").write_text("def rain(image, mask, rng, drops=1): ...\n")
    (folder / "my_project").mkdir()
    (folder / "my_project" / "streets.py").write_text(
        "class Streets:\n    def __init__(self, split, root): ...\n"
    )


def damaged_streets(folder: Path) -> None:
    (folder / "streets.yaml").write_text(STREETS.replace("data/streets", "streets"))
    broken_folder(folder / "streets")


def exported(config: str, name: str) -> None:
    """A search of a configuration under another name, and its export."""
    search.export(search_locally(f"configs/{config}", name=name).folder)


def third_search(folder: Path) -> None:
    """A search with trials at the deeper rungs."""
    overrides = ["budget.trials=9", "budget.max_virtual_epochs=27", "scheduler.grace_period=1"]
    search_locally("configs/seg.yaml", overrides=overrides, name="seg-3")


def to_predict(folder: Path) -> None:
    """Two exports, of photographs with masks and of a table, and files for them."""
    (folder / "photos").rename(folder / "scans")
    images, masks = folder / "photos" / "images" / "day", folder / "photos" / "masks" / "day"
    for kept in (images, masks):
        kept.mkdir(parents=True)
    streets = folder / "data" / "streets" / "val"
    for number, file in enumerate(sorted((streets / "images").iterdir())[:3], start=1):
        shutil.copy(file, images / f"{number:02}.png")
        shutil.copy(streets / "masks" / file.name, masks / f"{number:02}.png")
    Image.open(images / "01.png").save(images / "01.jpg")
    (images / "01.png").unlink()
    (folder / "photos" / "images" / "notes.txt").write_text("rain from noon on")
    exported("streets.yaml", "photos")
    exported("regression.yaml", "regression")
    load_diabetes(as_frame=True, scaled=False).data.head(88).to_csv(folder / "dia.csv", index=False)


def to_export(folder: Path) -> None:
    """A classifier, and a search whose trials have weights of one shape."""
    exported("classification.yaml", "cnn")
    search_locally("configs/seg.yaml", name="finetuned")


def patients(folder: Path) -> None:
    """Masks and a table with several samples of each patient, and an export with folds."""
    mask_folder(folder / "data" / "scans", patients=20)
    table(folder / "data").rename(folder / "data" / "patients.csv")
    scans = "{source: folder, root: data/scans, folds: 5, group: '(patient\\d+)_'}"
    streets = "{source: folder, root: data/streets}"
    (folder / "configs" / "scans.yaml").write_text(STREETS.replace(streets, scans))
    (folder / "configs" / "patients.yaml").write_text(PATIENTS)
    search.export(
        search_locally("configs/classification.yaml", overrides=["trial.data.folds=3"], name="digits").folder
    )


def no_runs(folder: Path) -> None:
    shutil.rmtree(folder / "results")


PREPARED: dict[str, Callable[[Path], Any]] = {
    "custom_task.md": lanes,
    "data_check.md": damaged_streets,
    "export.md": to_export,
    "folds.md": patients,
    "optuna_dashboard.md": third_search,
    "predict.md": to_predict,
    "storage.md": no_runs,
    "your_own.md": own_parts,
}
"""What the folder of a page has besides."""


def folder_of(page: Path, common: Path, parent: Path) -> Path:
    """A folder for the blocks of this page."""
    folder = Path(shutil.copytree(common, parent / "page"))
    with chdir(folder):
        PREPARED.get(page.name, lambda folder: None)(folder)
    return folder
