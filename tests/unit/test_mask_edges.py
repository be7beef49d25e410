"""Labels along edges, numbers of objects, masks without a class: told or refused, by a search and check."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mask_folders import classes, folder, load, options_of
from PIL import Image, ImageDraw

from trainables.inspect.images import MaskInspection


def shapes(values: tuple[int, ...], count: int = 8, side: int = 120) -> list[Image.Image]:
    """Masks of polygons, sides of 120 pixels."""
    rng, masks = np.random.default_rng(0), []
    for _ in range(count):
        mask = Image.new("L", (side, side), values[0])
        for label in values[1:] * 2:
            x, y, size = rng.integers(0, side), rng.integers(0, side), rng.integers(10, 40)
            angles = np.sort(rng.random(6)) * 2 * np.pi
            corners = [(x + size * np.cos(angle), y + size * np.sin(angle)) for angle in angles]
            ImageDraw.Draw(mask).polygon(corners, fill=label)
        masks.append(mask)
    return masks


def jpeg(mask: Image.Image) -> Image.Image:
    content = BytesIO()
    mask.save(content, "JPEG", quality=90)
    return Image.open(content).copy()


SMOOTHED = {
    "doubled": lambda mask: mask.resize((240, 240), Image.Resampling.BILINEAR),
    "reduced": lambda mask: mask.resize((70, 70), Image.Resampling.BILINEAR),
    "cubic": lambda mask: mask.resize((50, 50), Image.Resampling.BICUBIC),
    "turned": lambda mask: mask.rotate(17, Image.Resampling.BILINEAR),
    "jpeg": jpeg,
}


@pytest.mark.parametrize("name", SMOOTHED)
@pytest.mark.parametrize("values", [(0, 2), (0, 3), (0, 1, 2, 3), (0, 1, 3, 5, 7)], ids=str)
def test_masks_that_were_smoothed_are_told(
    tmp_path: Path, name: str, values: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path, [SMOOTHED[name](mask) for mask in shapes(values)])
    load(root, num_classes=20)
    told = capsys.readouterr().err
    assert "of the edges between labels that differ by 2 or more pass through others" in told
    assert "save them anew with each pixel one of the classes" in told


def test_several_labels_that_are_edges_only_are_refused_unless_their_number_is_set(tmp_path: Path) -> None:
    root = folder(tmp_path, [SMOOTHED["doubled"](mask) for mask in shapes((0, 3))])
    with pytest.raises(ValueError, match=r"\(1, 2 occur hardly anywhere else\).* data\.num_classes: 4 if"):
        load(root)
    assert len(load(root, num_classes=4)["class_names"]) == 4
    assert "labels smoothed at edges" in found_kinds(root)
    assert "labels between others at edges" in found_kinds(root, num_classes=4)


@pytest.mark.parametrize("values", [(0, 2), (0, 1, 2, 3), (0, 1, 3, 5, 7), tuple(range(19))], ids=str)
def test_sharp_masks_are_not_told(
    tmp_path: Path, values: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path, [mask.resize((90, 90), Image.Resampling.NEAREST) for mask in shapes(values)])
    load(root)
    assert "pass through" not in capsys.readouterr().err


@pytest.mark.parametrize(("border", "is_told"), [(2, False), (255, False), (1, True)])
def test_a_border_is_told_where_its_label_is_between_those_of_its_sides(
    tmp_path: Path, border: int, capsys: pytest.CaptureFixture[str], *, is_told: bool
) -> None:
    masks = []
    for mask in shapes((0, 1 if border != 1 else 2)):
        labels = np.asarray(mask).copy()
        edge = np.zeros(labels.shape, bool)
        edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
        edge[1:] |= labels[1:] != labels[:-1]
        labels[edge] = border
        masks.append(Image.fromarray(labels))
    load(folder(tmp_path, masks))
    assert ("if no class is a thin border between two others" in capsys.readouterr().err) == is_told


def found_kinds(root: Path, **options: Any) -> set[str]:
    inspection = MaskInspection(options_of(root, **options))
    contents = [inspection.look(number) for number in range(len(inspection.samples))]
    return {finding.kind.name for finding in inspection.conclude(contents).findings}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((6, 8)), "no label above 0; there must be at least two classes: save the masks with"),
        (np.full((6, 8), 255), "every pixel of the training masks is ignored, as label 255; some must have"),
    ],
)
def test_masks_without_classes_are_refused_and_found(
    tmp_path: Path, labels: np.ndarray, message: str
) -> None:
    root = folder(tmp_path, [Image.fromarray(labels.astype(np.uint8))] * 4)
    with pytest.raises(ValueError, match=message):
        load(root)
    assert "masks without a class" in found_kinds(root)


def test_shades_at_edges_are_refused_without_a_line_that_makes_classes_of_them(tmp_path: Path) -> None:
    masks = [mask.resize((200, 200), Image.Resampling.BILINEAR) for mask in shapes((0, 255))]
    root = folder(tmp_path, masks)
    for options in ({"mask_values": {255: 1}, "num_classes": 2}, {"mask_values": {255: 1}}, {}):
        with pytest.raises(ValueError, match=r"save them anew with each pixel one of the classes$"):
            load(root, **options)
        found = found_kinds(root, **options)
        assert "labels smoothed at edges" in found
        assert "labels no class numbers" not in found


def test_numbers_of_objects_are_told_unless_the_number_of_classes_is_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, masks = np.random.default_rng(0), []
    for number in range(8):
        labels = np.zeros((60, 60), np.uint8)
        for label in range(1, 12 + number):
            y, x = rng.integers(0, 50, 2)
            labels[y : y + 6, x : x + 6] = label
        masks.append(Image.fromarray(labels))
    root = folder(tmp_path, masks)
    load(root)
    told = "so they seem to be numbers of objects: save class numbers, or set data.num_classes: 19 if each"
    assert told in capsys.readouterr().err
    assert "numbers of objects" in found_kinds(root)
    load(root, num_classes=19)
    assert "numbers of objects" not in capsys.readouterr().err


def test_a_label_beyond_the_names_asks_for_the_name_that_may_be_lacking(tmp_path: Path) -> None:
    root = folder(tmp_path, [Image.fromarray(mask) for mask in classes()])
    (root / "classes.txt").write_text("road\ncar\n")
    with pytest.raises(ValueError, match=r"classes\.txt .*\(do the names lack the first class, such as back"):
        load(root)


def test_labels_with_a_gap_are_told_with_the_line_that_closes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = classes(num_classes=4)
    root = folder(tmp_path, [Image.fromarray(np.array([0, 1, 2, 4], np.uint8)[mask]) for mask in masks])
    load(root)
    (line,) = re.findall(
        r"no pixel has class 3: .* set data\.(mask_values: \{[^}]*\})", capsys.readouterr().err
    )
    assert yaml.safe_load(line) == {"mask_values": {4: 3}}
    assert len(load(root, mask_values={4: 3})["class_names"]) == 4
    load(root, num_classes=5)
    assert "class 3 occurs in no training or validation sample" in capsys.readouterr().err


def test_masks_of_0_and_255_among_others_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = classes(num_classes=2)
    scale = [255, 1, 1, 255, 1, 1]
    images = [Image.fromarray(mask * np.uint8(factor)) for mask, factor in zip(masks, scale, strict=True)]
    root = folder(tmp_path, images)
    load(root)
    assert "2 of 6 masks hold 0 and 255 only, which is ignored" in capsys.readouterr().err
    arrays = load(root, mask_values={255: 1})
    assert "ignored" not in capsys.readouterr().err
    found = [*arrays["train_targets"], *arrays["valid_targets"]]
    assert sorted(mask.tobytes() for mask in found) == sorted(mask.tobytes() for mask in masks)
