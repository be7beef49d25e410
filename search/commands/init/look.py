"""Finds out what lies in a folder, and looks at its samples as `check --data` does."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.commands.check_data import DataCheck, Progress, inspected
from search.commands.init.folders import classes_in, masks_in
from search.commands.init.overlapping import (
    note_of_bits,
    note_of_suffixes,
    one_class_a_pixel,
    overlapping_in,
)
from search.commands.init.recognized import Recognized, UnrecognizedError, remedy
from search.commands.init.saved import saved_in
from search.commands.init.shards import Report, shards_in
from search.commands.init.tables import OTHERS, is_table, table_of, tables_in
from search.config.tasks import load_task
from search.text import command, counted, cut
from trainables.findings import Finding, some
from trainables.images import kinds
from trainables.images.layouts.plain import IMAGES, MASKS

NUM_LOOKED_AT = 512
"""Samples of each part that are read."""
_TRIES = 8
_MAX_FOLDERS = 50
_FOLLOWED = (
    kinds.FOLDER,
    kinds.BINARY,
    kinds.COLOURS,
    kinds.PALETTES,
    kinds.NO_NUMBERS,
    kinds.TURNED_SIZE,
    kinds.DEPTH,
)
"""Findings whose remedy is set, as it is the only one that keeps all samples."""
_LOOKED_FOR = (
    "images with masks (images/ and masks/, or as VOC, Cityscapes, ADE20K and nnU-Net do), a folder of "
    "images for each class, a table (.csv, .tsv), shards (.tar), or a data set saved by the library datasets"
)
_TRAINABLE = (kinds.LEAKAGE, kinds.TWO_CLASSES)
"""Errors with which a search runs all the same; they are shown."""
_SHOWN = 10
_REASONS = {
    "colors": "of class 0, 1 and so on: masks hold these; reorder them if the numbers matter",
    "mask_values": "masks hold other labels than class numbers",
}
_COCO = ("instances_", "annotations.json", "_annotations.coco.json")


@dataclass(frozen=True)
class Looked:
    """The data, and what was found in some samples."""

    recognized: Recognized
    found: DataCheck
    note: str = ""
    """What cannot be told of them."""


def recognize(place: Path, given: str, report: Report) -> Recognized:
    """What lies at this path.

    Args:
        given: the path for the configuration.

    Raises:
        UnrecognizedError: nothing that is read.
    """
    if place.is_file():
        if is_table(place):
            return table_of(place, given)
        raise UnrecognizedError(f"{place}: is a file and no table; must be a folder with data, or a .csv")
    found = _in_folder(place, given, report)
    if found is not None:
        return found
    if place.name.lower() in map(str.lower, (*IMAGES, *MASKS)):
        above = masks_in(place.parent, str(Path(given).parent))
        if above is not None:
            return above.changed({}, "")
    below = {
        name: sub
        for name in sorted(path.name for path in place.iterdir() if path.is_dir())[:_MAX_FOLDERS]
        if not name.startswith(".") and (sub := _below(place / name, str(Path(given, name)), report))
    }
    if len(below) == 1:
        return next(iter(below.values()))
    if below:
        first = next(iter(below.values()))
        path = first.data.get("root") or first.data["path"]
        one = command("init", path)
        raise UnrecognizedError(
            f"{place}: holds {len(below)} data sets, in {some(below)}; give one of them: `{one}`"
        )
    raise UnrecognizedError(_nothing(place))


def _in_folder(folder: Path, given: str, report: Report) -> Recognized | None:
    found = saved_in(folder, given) or shards_in(folder, given, report)
    if found is not None:
        return found
    try:
        found = overlapping_in(folder, given) or masks_in(folder, given)
    except UnrecognizedError:
        # Lists lie beside folders of classes too.
        names = {path.name.lower() for path in folder.iterdir() if path.is_dir()}
        found = None if names.intersection(map(str.lower, (*IMAGES, *MASKS))) else classes_in(folder, given)
        if found is None:
            raise
    return found or classes_in(folder, given) or tables_in(folder, given)


def _below(folder: Path, given: str, report: Report, depth: int = 2) -> Recognized | None:
    """The only data set in a folder or below it."""
    try:
        found = _in_folder(folder, given, report)
    except (UnrecognizedError, OSError):
        return None
    if found is not None or depth == 0:
        return found
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    each = [_below(folder / name, str(Path(given, name)), report, depth - 1) for name in names[:_MAX_FOLDERS]]
    known = [one for one in each if one is not None]
    return known[0] if len(known) == 1 else None


def _nothing(folder: Path) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if path.name[0] != ".")
    held = some(map(cut, names)) or "nothing"
    hint = ""
    jsons = [
        path for path in folder.rglob("*.json") if path.name.startswith(_COCO[0]) or path.name in _COCO[1:]
    ]
    others = [name for name in names if name.lower().endswith(OTHERS[:4])]
    if jsons:
        hint = f". {jsons[0].relative_to(folder)} is of COCO, which is not read: save masks as PNG"
    elif others:
        reader = {".parquet": "parquet", ".feather": "feather"}.get(Path(others[0]).suffix.lower(), "excel")
        hint = f". {others[0]} must be saved as CSV: pandas.read_{reader}(...).to_csv(..., index=False)"
    elif any(name.endswith(".dvc") for name in names):
        hint = ". Was `dvc pull` run?"
    return f"{folder}: holds {held}; looked for {_LOOKED_FOR}{hint}"


def look(recognized: Recognized, progress: Callable[[Progress], None]) -> Looked:
    """What some samples hold, and the data with the remedies of what would be wrong.

    Raises:
        UnrecognizedError: naming what is wrong and has no remedy in a configuration.
    """
    try:
        return _look(recognized, progress)
    except UnrecognizedError:
        other = one_class_a_pixel(recognized)
        if other is None:
            raise
    return _look(other, progress)


def _look(recognized: Recognized, progress: Callable[[Progress], None]) -> Looked:
    for _ in range(_TRIES):
        found = _inspected(recognized, progress)
        changes, reason = _remedies(found, recognized.data)
        if not changes:
            break
        recognized = recognized.changed(changes, reason)
    wrong = [finding for finding in found.errors if finding.kind not in _TRAINABLE]
    if wrong:
        listed = "\n".join(map(_told, wrong[:_SHOWN]))
        rest = len(wrong) - _SHOWN
        raise UnrecognizedError(listed + (f"\nand {counted(rest, 'error')} more" if rest > 0 else ""))
    if not found.parts:
        raise UnrecognizedError(f"{found.root}: no sample was found")
    labels = [row.name for row in found.classes if row.name != "ignored"]
    note = note_of_suffixes(recognized) or note_of_bits(recognized, labels)
    return Looked(_with_classes(recognized, found), found, note)


def _with_classes(recognized: Recognized, found: DataCheck) -> Recognized:
    """The names of the classes of masks beside their folder."""
    names = [row.name for row in found.classes if row.name != "ignored"]
    if recognized.kind != "masks" or not recognized.reasons.get("root"):
        return recognized
    told = f"{recognized.reasons['root']}; {len(names)} classes: {some(names, 4)}"
    return recognized.changed({"root": recognized.data["root"]}, told)


def _inspected(recognized: Recognized, progress: Callable[[Progress], None]) -> DataCheck:
    task_class: Any = load_task(recognized.task)
    trial: dict[str, Any] = {"data": dict(recognized.data)}
    if recognized.kind == "table":
        trial["model"] = {"name": "mlp"}
    if recognized.task == "segmentation":
        trial["augment"] = {"crop": 64}  # one that fits is chosen later
    empty = DataCheck(name="init", task=recognized.task)
    try:
        inspection = task_class.inspect(task_class.Options.parse(trial))
        assert inspection is not None
    except ValueError as error:
        return DataCheck(name="init", task="", findings=[Finding(kinds.FOLDER, "", str(error))])
    return inspected(empty, inspection, most=NUM_LOOKED_AT, progress=progress)


def _remedies(found: DataCheck, data: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Options that read the samples right, and why."""
    for finding in found.findings:
        if finding.kind is kinds.IMAGE_SIZE and "resize" not in data:
            return {"resize": side_of(found)}, f"images differ in size ({sizes_text(found)})"
        if finding.kind is kinds.ALL_GREY and "channels" not in data:
            return {"channels": 1}, "all images are grey"
        severe = finding.kind.severity == "error" and (finding.kind in _FOLLOWED or _of_a_table(finding))
        text = f"{finding.message}; {finding.kind.remedy}"
        if severe and "data.ignore_columns" in finding.message:
            return _ignored(finding, data)
        if severe and (change := remedy(text, data)):
            told = _REASONS.get(next(iter(change)), finding.message.partition("; ")[0])
            return change, told or finding.kind.name
    return {}, ""


def _of_a_table(finding: Finding) -> bool:
    return finding.kind.name in ("column that cannot be used", "row without a target")


def _ignored(finding: Finding, data: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """One more column that is left out."""
    quoted = re.search(r"column ('[^']*'|\"[^\"]*\")", finding.message)
    name = ast.literal_eval(quoted[1]) if quoted else ""
    known = list(data.get("ignore_columns", []))
    if not name or name in known:
        return {}, ""
    return {"ignore_columns": [*known, name]}, "too many different texts to learn from"


def side_of(found: DataCheck) -> int:
    """Of the square that most images hold: their shorter side, from 8 to 224, a multiple of 8."""
    width, height = found.parts["train"].sizes["median"]
    return max(8, min(224, min(width, height)) // 8 * 8)


def sizes_text(found: DataCheck) -> str:
    """`512x512`, or from the smallest to the largest."""
    sizes = [part.sizes for part in found.parts.values() if part.sizes]
    low, high = (sorted({each[name] for each in sizes}) for name in ("min", "max"))
    small, large = "{}x{}".format(*low[0]), "{}x{}".format(*high[-1])
    return small if small == large else f"{small} to {large}"


def _told(finding: Finding) -> str:
    message = finding.message or finding.kind.name
    way_out = f"; {finding.kind.remedy}" if finding.kind.remedy else ""
    where = f"{finding.where}: " if finding.where else ""
    return f"{where}{message}{way_out}"
