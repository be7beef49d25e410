"""Masks whose numbers or colours are no class numbers are refused with a line that reads them right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mask_folders import classes, folder, load, options_of
from PIL import Image

from trainables.images.loading import find_images, load_images
from trainables.images.options import MaskFolderOptions
from trainables.inspect.images import MaskInspection

COLOURS = np.array([[0, 0, 0], [128, 64, 128], [0, 0, 142]], np.uint8)


def as_loaded(masks: list[np.ndarray], arrays: dict[str, np.ndarray]) -> bool:
    found = np.concatenate([arrays["train_targets"], arrays["valid_targets"]])
    return sorted(mask.tobytes() for mask in found) == sorted(mask.tobytes() for mask in masks)


def advised(root: Path, **options: Any) -> dict[str, Any]:
    """The options that the refusal proposes, read as a person would paste them."""
    with pytest.raises(ValueError, match=r"set data\.") as refused:
        load(root, **options)
    (line,) = re.findall(r"data\.((?:mask_values|colors): (?:\{[^}]*\}|\[\[.*?\]\]))", str(refused.value))
    return yaml.safe_load(line)


@pytest.mark.parametrize(
    "values", [[0, 255], [0, 85, 170, 255], [0, 85, 170], [0, 50, 100, 150, 200]], ids=str
)
def test_scaled_labels_are_refused_and_the_line_that_is_proposed_reads_them(
    tmp_path: Path, values: list[int]
) -> None:
    masks = classes(num_classes=len(values))
    folder(tmp_path, [Image.fromarray(np.array(values, np.uint8)[mask]) for mask in masks])
    arrays = load(tmp_path, **advised(tmp_path))
    assert as_loaded(masks, arrays)
    assert len(arrays["class_names"]) == len(values)


def test_labels_at_equal_distances_are_scaled_and_no_number_of_classes_is_proposed(
    tmp_path: Path,
) -> None:
    folder(tmp_path, [Image.fromarray(mask * np.uint8(85)) for mask in classes(num_classes=3)])
    with pytest.raises(ValueError, match=r"set data\.mask_values") as refused:
        load(tmp_path)
    assert "num_classes" not in str(refused.value)
    inspection = MaskInspection(options_of(tmp_path))
    contents = [inspection.look(number) for number in range(len(inspection.samples))]
    assert inspection.conclude(contents).class_names == ()


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        (
            [0, 127, 255],
            {},
            r"0, 127 and the ignored 255 \(33% of the pixels\).*mask_values: {127: 1, 255: 2} if each",
        ),
        ([0, 128, 255], {}, r"data\.mask_values: {128: 1, 255: 2} if each is a class$"),
        (
            [0, 64, 191, 255],
            {},
            r"{64: 1, 191: 2} if each is a class, with 255: 3 if 255 is one too, or data",
        ),
        (
            [0, 128, 255],
            {"mask_values": {127: 1, 255: 2}},
            r"masks hold 0, 128, 255; .*none holds 127, which data\.mask_values names; .*{128: 1, 255: 2}",
        ),
    ],
)
def test_advice_speaks_of_the_labels_in_the_files_and_leaves_out_no_class(
    tmp_path: Path, levels: list[int], options: dict[str, Any], message: str
) -> None:
    mask = np.repeat(np.array(levels, np.uint8), 12)[None].repeat(24, axis=0)
    folder(tmp_path, [Image.fromarray(mask) for _ in range(6)])
    with pytest.raises(ValueError, match=message):
        load(tmp_path, **options)


def test_labels_that_are_numbers_are_taken_as_they_are_if_their_number_is_set(tmp_path: Path) -> None:
    masks = classes(num_classes=3)
    folder(tmp_path, [Image.fromarray(mask * np.uint8(60)) for mask in masks])
    assert as_loaded([mask * np.uint8(60) for mask in masks], load(tmp_path, num_classes=130))


def test_shades_between_labels_are_no_classes(tmp_path: Path) -> None:
    large = [Image.fromarray(mask * np.uint8(100)) for mask in classes(num_classes=2)]
    folder(tmp_path, [mask.resize((80, 60), Image.Resampling.BICUBIC) for mask in large])
    with pytest.raises(ValueError, match=r"were resized with interpolation, .*save them anew"):
        load(tmp_path)


def palette_mask(mask: np.ndarray, order: list[int]) -> Image.Image:
    """The same classes by colour, numbered in another order."""
    numbers = np.argsort(order).astype(np.uint8)
    image = Image.fromarray(numbers[mask]).convert("P")
    image.putdata(numbers[mask].ravel().tolist())
    image.putpalette(COLOURS[order].ravel().tolist())
    return image


def test_palettes_that_differ_are_refused_and_colours_read_them(tmp_path: Path) -> None:
    masks = classes()
    orders = [[0, 1, 2], [0, 2, 1]]
    folder(tmp_path, [palette_mask(mask, orders[number % 2]) for number, mask in enumerate(masks)])
    with pytest.raises(ValueError, match=r"label \d has the colour .*: the palettes of the masks differ"):
        load(tmp_path)
    assert as_loaded(masks, load(tmp_path, colors=COLOURS.tolist()))
    # As proposed: the colours in another order, so that classes have other numbers, the same in each mask.
    colors = advised(tmp_path)["colors"]
    renumbered = np.array([colors.index(colour) for colour in COLOURS.tolist()], np.uint8)
    assert as_loaded([renumbered[mask] for mask in masks], load(tmp_path, colors=colors))
    assert not as_loaded(masks, load(tmp_path, palettes="ignore"))


def test_palettes_that_agree_in_what_masks_hold_are_read_by_index(tmp_path: Path) -> None:
    masks = classes()
    images = [palette_mask(mask, [0, 1, 2]) for mask in masks]
    images[1].putpalette([*COLOURS.ravel().tolist(), 9, 9, 9])  # a colour more, which no pixel has
    folder(tmp_path, images)
    assert as_loaded(masks, load(tmp_path))


def test_colours_of_palettes_are_proposed_in_the_order_of_most_labels(tmp_path: Path) -> None:
    masks = classes()
    orders = [[0, 1, 2], [0, 2, 1], [0, 1, 2], [0, 1, 2], [0, 2, 1], [0, 1, 2]]
    folder(tmp_path, [palette_mask(mask, order) for mask, order in zip(masks, orders, strict=True)])
    assert advised(tmp_path)["colors"] == COLOURS.tolist()


@pytest.mark.parametrize("max_memory", [2**30, 0])
def test_masks_of_colours_are_read_by_the_table(tmp_path: Path, max_memory: int) -> None:
    masks = classes()
    folder(tmp_path, [Image.fromarray(COLOURS[mask]) for mask in masks])
    colors = advised(tmp_path)["colors"]
    assert sorted(colors) == sorted(COLOURS.tolist())
    options = options_of(tmp_path, colors=COLOURS.tolist(), max_memory=max_memory)
    arrays = load_images(options)
    assert len(arrays["class_names"]) == 3
    from trainables.images.samples import LoadedImages

    read = LoadedImages(arrays, options)
    found = [target for part in ("train", "valid") for target in read.samples(part).read(np.arange(1))[1]]
    held = {mask.tobytes() for mask in masks}
    assert {target.tobytes() for target in found} <= held
    assert max_memory == 0 or as_loaded(masks, arrays)


def test_a_colour_that_the_table_lacks_is_named(tmp_path: Path) -> None:
    folder(tmp_path, [Image.fromarray(COLOURS[mask]) for mask in classes()])
    with pytest.raises(ValueError, match=r"has the colour \[0, 0, 142\] in \d+ pixels, which data\.col"):
        load(tmp_path, colors=COLOURS[:2].tolist())


def test_the_last_colour_may_be_ignored(tmp_path: Path) -> None:
    masks = classes()
    folder(tmp_path, [Image.fromarray(COLOURS[mask]) for mask in masks])
    arrays = load(tmp_path, colors=COLOURS.tolist(), ignore_index=2)
    assert len(arrays["class_names"]) == 2
    assert as_loaded([np.where(mask == 2, 255, mask).astype(np.uint8) for mask in masks], arrays)


@pytest.mark.parametrize("colors", [[[0, 0, 0]], [[0, 0, 0], [0, 0, 0]], [[0, 0, 256], [1, 1, 1]]])
def test_a_table_must_have_two_colours_or_more_all_different(tmp_path: Path, colors: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"different colours|less than or equal to 255"):
        options_of(tmp_path, colors=colors)


@pytest.mark.parametrize("case", ["palettes differ", "labels no class numbers", "masks with colours"])
def test_check_data_finds_what_loading_refuses(tmp_path: Path, case: str) -> None:
    masks = classes()
    made = {
        "palettes differ": [
            palette_mask(mask, [[0, 1, 2], [0, 2, 1]][n % 2]) for n, mask in enumerate(masks)
        ],
        "labels no class numbers": [Image.fromarray(mask * np.uint8(85)) for mask in masks],
        "masks with colours": [Image.fromarray(COLOURS[mask]) for mask in masks],
    }[case]
    folder(tmp_path, made)
    inspection = MaskInspection(MaskFolderOptions(source="folder", root=str(tmp_path)))
    contents = [inspection.look(number) for number in range(len(inspection.samples))]
    found = {finding.kind.name: finding.message for finding in inspection.conclude(contents).findings}
    assert "data.mask_values: {" in found[case] or "data.colors: [[" in found[case]
    assert find_images(options_of(tmp_path), 0).parts


def test_labels_from_1_are_told_with_the_line_that_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = classes()
    root = folder(tmp_path, [Image.fromarray(mask + np.uint8(1)) for mask in masks])
    load(root)
    (line,) = re.findall(r"data\.(mask_values: \{[^}]*\})", capsys.readouterr().err)
    assert as_loaded(masks, load(root, **yaml.safe_load(line)))
    assert "mask_values" not in capsys.readouterr().err


def test_a_last_class_without_a_pixel_beside_255_is_told_with_the_line_that_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = classes()
    saved = [np.where(mask == 2, 255, mask).astype(np.uint8) for mask in masks]
    root = folder(tmp_path, [Image.fromarray(mask) for mask in saved])
    load(root, num_classes=3)
    (line,) = re.findall(r"data\.(mask_values: \{[^}]*\})", capsys.readouterr().err)
    assert as_loaded(masks, load(root, num_classes=3, **yaml.safe_load(line)))


def test_classes_in_the_transparency_are_not_taken_for_colours(tmp_path: Path) -> None:
    masks = [np.stack([mask * 0] * 3 + [mask * np.uint8(255)], axis=-1) for mask in classes(num_classes=2)]
    with pytest.raises(ValueError, match="one colour, so the classes are in their transparency"):
        load(folder(tmp_path, [Image.fromarray(mask) for mask in masks]))


def test_classes_that_a_part_lacks_are_told_when_all_masks_were_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, labels in (("train", [0, 1, 3]), ("val", [0, 2])):
        mask = np.resize(np.array(labels, np.uint8), (6, 8))
        folder(tmp_path / part, [Image.fromarray(mask)] * 3)
    load(tmp_path, num_classes=6)
    told = capsys.readouterr().err.splitlines()
    assert told == [
        f"{tmp_path}: classes 4, 5 occur in no training or validation sample",
        f"{tmp_path}: class 2 occurs in no training sample",
        f"{tmp_path}: classes 1, 3 occur in no validation sample",
    ]
