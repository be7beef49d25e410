"""What lies beside the pixels of an image makes it neither unreadable nor a warning of Pillow's."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE
from PIL import Image

_READ = """
import sys
from pathlib import Path
from trainables.images.decode import Reading
print(Reading(channels=3).pixels(Path(sys.argv[1])).sum())
"""

BESIDE = {
    "a history of 3 MB": (b"zTXt", b"History\0\0" + zlib.compress(b"edited by hand " * 200_000)),
    "broken EXIF": (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x03\0\0"),
}


@pytest.mark.parametrize("beside", BESIDE)
def test_metadata_refuse_no_image_and_print_no_warning(tmp_path: Path, beside: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    file = tmp_path / "image.png"
    Image.fromarray(pixels).save(file)
    name, content = BESIDE[beside]
    added = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    whole = file.read_bytes()
    file.write_bytes(whole[:33] + added + whole[33:])  # after the header
    command = [sys.executable, "-W", "always", "-c", _READ, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert int(done.stdout) == pixels.sum()
    assert done.stderr == ""
