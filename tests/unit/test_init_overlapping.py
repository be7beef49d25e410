"""`init` on masks of classes that overlap."""

from __future__ import annotations

from pathlib import Path

import init_folders as made
import numpy as np
import overlapping
import pytest
from PIL import Image

from search.commands.init.command import init
from search.commands.init.overlapping import note_of_bits
from search.commands.init.recognized import Recognized
from search.config.stages import load_config
from search.errors import SearchError
from search.screen.texts.init import init_text

SAVED = {
    "folders": (overlapping.as_folders, sorted(overlapping.NAMES)),
    "suffixes": (overlapping.as_suffixes, sorted(overlapping.NAMES)),
    "both": (overlapping.as_both, sorted(overlapping.NAMES)),
    "array": (overlapping.as_array, ["class_0", "class_1", "class_2"]),
    "archive": (overlapping.as_archive, ["class_0", "class_1", "class_2"]),
}


@pytest.mark.parametrize("how", SAVED)
def test_classes_that_overlap_are_recognized_by_their_files_or_planes(how: str, tmp_path: Path) -> None:
    save, names = SAVED[how]
    truths = overlapping.dataset(tmp_path / "data", save)
    written = init(tmp_path / "data", out=tmp_path / "made.yaml")
    assert written.recognized.data == {
        "source": "folder",
        "root": str(tmp_path / "data"),
        "labels": "multilabel",
        "class_names": names,
    }
    assert load_config(written.file).first.raw["trial"]["data"] == written.recognized.data
    pixels = {row.name: sum(row.counts.values()) for row in written.found.classes}
    by_name = dict(zip(overlapping.NAMES, np.sum(truths, axis=(0, 2, 3)).tolist(), strict=True))
    assert list(pixels.values()) == [
        by_name.get(name, count) for name, count in zip(names, by_name.values(), strict=True)
    ]
    assert ("of raters, or of auxiliary masks" in written.note) == (how == "suffixes")
    assert bool(written.note) == (how == "suffixes")


@pytest.mark.parametrize("plain", [1, 8])
def test_masks_of_several_classes_beside_others_are_no_classes_that_overlap(
    plain: int, tmp_path: Path
) -> None:
    """As `7_gt` beside `7_aux`, of which the first ones that are read may hold one class alone."""
    made.pairs(tmp_path / "data", masks="masks/{}_gt.png")
    masks = tmp_path / "data" / "masks"
    for number, file in enumerate(sorted(masks.glob("*_gt.png"))):
        held = np.asarray(Image.open(file))
        assert len(np.unique(held)) > 2
        aux = Image.fromarray((held > 0).astype(np.uint8))
        aux.save(file.with_name(file.name.replace("_gt", "_aux")))
        if number < plain:
            aux.save(file)
    with pytest.raises(SearchError, match="add mask_suffix"):
        init(tmp_path / "data", out=tmp_path / "made.yaml")


def test_numbers_too_far_apart_to_be_bits_are_not_said_to_be(tmp_path: Path) -> None:
    recognized = Recognized("masks", "segmentation", {"source": "folder", "root": str(tmp_path)})
    assert note_of_bits(recognized, ["0", "50", "100", "150"]) == ""
    assert "sums of 1, 2, 4" in note_of_bits(recognized, ["0", "1", "2", "3", "4"])
    assert "sums of 1, 2, 4" in note_of_bits(recognized, ["0", "1", "2", "3", "255"])


def test_numbers_that_may_be_bits_are_told_as_they_look_like_classes(tmp_path: Path) -> None:
    overlapping.dataset(tmp_path / "data", overlapping.as_bits)
    written = init(tmp_path / "data", out=tmp_path / "made.yaml")
    assert "labels" not in written.recognized.data
    (line,) = (line for line in init_text(written).splitlines() if line.startswith("note: "))
    assert "(0, 1, 2, 3, and 4 more) are taken for classes" in line
    assert line.endswith("set labels: multilabel and class_names")
    made.pairs(tmp_path / "few")
    assert "note" not in init_text(init(tmp_path / "few", out=tmp_path / "few.yaml"))


def test_masks_beside_pictures_of_them_are_no_classes(tmp_path: Path) -> None:
    """As of exports that put a coloured picture beside each mask."""
    made.pairs(tmp_path / "data", masks="masks/{}_mask.png")
    for number in range(made.NUM):
        made.image(tmp_path / "data" / "masks" / f"{number:03}_shown.png", number)
    data = tmp_path / "data"
    for file in (data / "masks").glob("*_shown.png"):
        assert len(np.unique(np.asarray(Image.open(file)))) > 2
    with pytest.raises(SearchError, match="add mask_suffix"):
        init(data, out=tmp_path / "made.yaml")
