"""Small folders in published layouts, and what their loader makes of them."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from trainables.images.layouts.find import find_pairs, layout_of
from trainables.images.layouts.root import DataRoot
from trainables.images.loading import load_images
from trainables.images.options import MaskFolderOptions
from trainables.images.samples import LoadedImages

SIZE = (6, 8)


def options_of(root, **options):
    return MaskFolderOptions(source="folder", root=str(root), **options)


def load(root, layout="auto", *, said=None, max_skipped=0, **options):
    skipping = {"bad_samples": "skip", "max_skipped": max_skipped} if max_skipped else {}
    chosen = options_of(root, layout=layout, **skipping, **options)
    return load_images(chosen, [].append if said is None else said.append)


def pairs_of(root, **options):
    chosen = options_of(root, **options)
    place = DataRoot(chosen)
    return find_pairs(layout_of(place, chosen), place, chosen)


def labels(*values):
    """A mask of these labels, in stripes, the last one to the right edge."""
    stripes = np.minimum(np.arange(SIZE[1]), len(values) - 1)
    return np.array(values, np.uint8)[np.broadcast_to(stripes, SIZE)]


def save(file, pixels, colours=None):
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    if colours is not None:
        picture = picture.convert("P")
        picture.putpalette(colours.tobytes())
    picture.save(file)


def save_image(file, seed=0):
    save(file, np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8))


def classes_of(arrays, part="train"):
    """The masks of a part as they are trained on."""
    return LoadedImages(arrays, None).samples(part).read(np.arange(len(arrays[f"{part}_targets"])))[1]


def stems_of(pairs):
    return {part: [pair.images[0].stem for pair in of_part] for part, of_part in pairs.items()}


def describe(root, **changes):
    content = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "wire": 1, "box": 2},
        "numTraining": 5,
        "file_ending": ".png",
        **changes,
    }
    (root / "dataset.json").write_text(json.dumps(content))


def nnunet_root(tmp_path, channels=None):
    """Five cases in one file each, or in one for each channel, and one without a label."""
    root = tmp_path / "Dataset120_Wires"
    rng = np.random.default_rng(0)
    for number in range(5):
        if channels is None:
            save_image(root / f"imagesTr/wire_{number:03}_0000.png", number)
        for channel in range(channels or 0):
            grey = rng.integers(0, 256, SIZE, np.uint8)
            save(root / f"imagesTr/wire_{number:03}_{channel:04}.png", grey)
        save(root / f"labelsTr/wire_{number:03}.png", labels(0, 1, 2, 3))
    save_image(root / "imagesTs/wire_100_0000.png")
    describe(root, labels={"background": 0, "wire": 1, "box": 2, "ignore": 3})
    return root
