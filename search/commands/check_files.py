"""The files that `check` leaves in the run's folder: a sheet of samples, and what was found in the data."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from search.commands.check_data import DataCheck
from search.run.disk.folder import write_json
from trainables.files import atomic_write

FOLDER = "check"
PICTURE, REPORT = "samples.png", "data.json"
_MARK = {"Software": "tune-search check"}


def write_check(run: Path, picture: np.ndarray | None, data: DataCheck | None) -> dict[str, str]:
    """Write what there is into `check/` of the run's folder; a picture of somebody else's is left alone.

    Args:
        picture: uint8 [H, W, 3].

    Returns:
        The path of each file by what it is, or why it was not written.
    """
    folder = run / FOLDER
    written = dict[str, str]()
    try:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        if picture is not None:
            written["samples"] = _write_picture(folder / PICTURE, picture)
        if data is not None:
            write_json(folder / REPORT, data.as_dict())
            written["report"] = str(folder / REPORT)
    except OSError as error:
        written["files"] = f"not written: {folder}: {error.strerror}"
    return written


def _write_picture(file: Path, picture: np.ndarray) -> str:
    if file.exists() and not _is_ours(file):
        return f"not written: {file} is another picture; move it"
    info = PngImagePlugin.PngInfo()
    for key, value in _MARK.items():
        info.add_text(key, value)
    content = BytesIO()
    Image.fromarray(picture).save(content, "PNG", pnginfo=info)
    atomic_write(file, content.getvalue())
    return str(file)


def _is_ours(file: Path) -> bool:
    try:
        with Image.open(file, formats=("PNG",)) as image:
            return all(image.info.get(key) == value for key, value in _MARK.items())
    except OSError:
        return False
