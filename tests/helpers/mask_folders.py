"""Small folders of images and masks, and what their loader makes of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from trainables.images.loading import load_images
from trainables.images.options import MaskFolderOptions
from trainables.images.samples import LoadedImages
from trainables.images.scan import to_stderr


def options_of(root, **options):
    return MaskFolderOptions(source="folder", root=str(root), **options)


def load(root, progress=to_stderr, max_skipped=0, **options):
    skipping = {"bad_samples": "skip", "max_skipped": max_skipped} if max_skipped else {}
    return load_images(options_of(root, **skipping, **options), progress)


def write(root, name, seed=0, size=(6, 8), labels=(0, 1, 2), images="images", masks="masks"):
    """One image and its mask; returns both arrays."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    mask = rng.choice(np.array(labels, np.uint8), size)
    for folder, array in ((images, image), (masks, mask)):
        file = root / folder / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(file)
    return image, mask


def loaded(arrays, limit=0, options=MaskFolderOptions):
    skipping = {"bad_samples": "skip", "max_skipped": limit} if limit else {}
    return LoadedImages(arrays, options.model_construct(**skipping))


def samples(arrays, part, limit=0, options=MaskFolderOptions):
    return loaded(arrays, limit, options).samples(part)


def names(arrays, part):
    return [Path(file).stem for file, *_ in arrays[f"{part}_image_files"]]


def parts(root, **options):
    """Names of the training and of the validation images."""
    arrays = load(root, max_memory=0, **options)
    return names(arrays, "train"), names(arrays, "valid")


def folder(root, masks):
    """Masks of Pillow, each with an image; returns the root."""
    for number, mask in enumerate(masks):
        for name in ("images", "masks"):
            (root / name).mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(number).integers(0, 256, (*mask.size[::-1], 3), np.uint8)
        Image.fromarray(image).save(root / f"images/{number}.png")
        mask.save(root / f"masks/{number}.png")
    return root


def classes(count=6, num_classes=3):
    """Masks uint8 [6, 8] in which each class occurs."""
    rng = np.random.default_rng(num_classes)
    masks = [rng.integers(0, num_classes, (6, 8)).astype(np.uint8) for _ in range(count)]
    for mask in masks:
        mask[0, :num_classes] = range(num_classes)
    return masks
