"""A data set that Hugging Face's `datasets` saved: which columns hold images, masks and classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from search.commands.init.recognized import Recognized, UnrecognizedError
from search.text import counted
from trainables.findings import some
from trainables.images.hf_datasets import VALID_SPLITS, load_saved

MARK = "dataset_dict.json"


def saved_in(folder: Path, given: str) -> Recognized | None:
    """Images with masks or with classes; None where nothing was saved by the library.

    Raises:
        UnrecognizedError: the library is missing, or the columns are others.
    """
    if not (folder / MARK).is_file():
        return None
    try:
        splits = load_saved(str(folder))
    except (ModuleNotFoundError, ValueError) as error:
        raise UnrecognizedError(str(error)) from error
    train = "train" if "train" in splits else next(iter(splits))
    features = splits[train].features
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    if not images or (not labels and len(images) != 2):
        columns = some(f"{name} ({kind})" for name, kind in kinds.items())
        raise UnrecognizedError(
            f"{folder}: has the columns {columns}; it must have one of the feature Image, and one of "
            "ClassLabel or a second Image with masks"
        )
    data: dict[str, Any] = {"source": "datasets", "root": given}
    reasons = {"root": f"saved by the library datasets: {counted(len(splits[train]), 'row')} to train"}
    masks = not labels
    if masks:  # the mask is the second, or the one that is called so
        images.sort(
            key=lambda name: any(word in name.lower() for word in ("mask", "label", "seg", "annotation"))
        )
    named = {"image_column": images[0]}
    named |= {"mask_column": images[1]} if masks else {"label_column": labels[0]}
    usual = {"image_column": "image", "mask_column": "mask", "label_column": "label"}
    data |= {key: name for key, name in named.items() if name != usual[key]}
    if train != "train":
        data["train_split"] = train
    if not any(name in splits for name in VALID_SPLITS):
        others = [name for name in splits if name != train]
        if not others:
            raise UnrecognizedError(
                f"{folder}: has the one split {train}; a second one must be for validation"
            )
        data["valid_split"], reasons["valid_split"] = others[0], "the split besides that of training"
    kind, task = ("masks", "segmentation") if masks else ("classes", "classification")
    return Recognized(kind, task, data, reasons)  # type: ignore[arg-type]
