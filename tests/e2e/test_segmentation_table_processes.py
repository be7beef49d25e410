"""Data sets of the library `datasets`, saved by the tests with save_to_disk."""

import importlib.util
import io

import numpy as np
import pytest
from PIL import Image

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="the extra `datasets` is not installed"
)


SIZES = {"train": [(6, 8), (7, 9), (6, 8)], "validation": [(6, 8)], "test": [(5, 5), (4, 4)]}


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return {"bytes": content.getvalue(), "path": None}


def written(split):
    """Images and masks of a split."""
    rng = np.random.default_rng(len(split))
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES[split]]
    return images, [rng.integers(0, 3, size, np.uint8) for size in SIZES[split]]


def save(root, splits=("train", "validation", "test"), columns=("image", "mask"), change=None):
    """`change` gets the rows of the training split."""
    from datasets import Dataset, DatasetDict, Features, Value
    from datasets import Image as ImageFeature

    features = Features({columns[0]: ImageFeature(), columns[1]: ImageFeature(), "note": Value("string")})
    found = {}
    for split in splits:
        rows = [
            {columns[0]: png(image), columns[1]: png(mask), "note": split}
            for image, mask in zip(*written(split), strict=True)
        ]
        if change is not None and split == "train":
            change(rows)
        found[split] = Dataset.from_list(rows, features=features)
    DatasetDict(found).save_to_disk(str(root))
    return root


@needs_library
def test_a_trial_reads_it_in_workers_too(tmp_path):
    from small_trials import assert_identical, everything, run, segmentation_plan

    root = str(save(tmp_path / "saved"))
    found = []
    for workers in (0, 1):
        options = {
            "data": {"source": "datasets", "root": root, "max_memory": 0, "workers": workers},
            "model": {"name": "unet", "width": 4, "depth": 1},
            "augment": {"crop": 8},
            "batch_size": 2,
        }
        plan = segmentation_plan(tmp_path / f"{workers}", options=options, count=2, num_virtual_epochs=1)
        found.append(everything(run(plan)))
    assert_identical(found[1], found[0])
