"""`python -m trainables.shards index …` and `… write …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from trainables.pairing import Affixes, find_pairing, tried
from trainables.shards.index import index_shards
from trainables.shards.paths import find_shards
from trainables.shards.write import ShardWriter

Item = TypeVar("Item")
_ARRAYS = (".tif", ".tiff", ".npy", ".npz")
_IMAGES = (".png", ".jpg", ".jpeg", *_ARRAYS)
_MASKS = (".png", *_ARRAYS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, or 1 after a one-line error."""
    parser = argparse.ArgumentParser(prog="python -m trainables.shards", description="Tar files of samples.")
    commands = parser.add_subparsers(dest="command", required=True)
    index = commands.add_parser("index", help="write an index beside each shard, and count the samples")
    index.add_argument("shards", nargs="+", help="folders, files or patterns: 'train-{000000..000127}.tar'")
    write = commands.add_parser("write", help="write images and masks, paired by name, as shards")
    write.add_argument("images", type=Path, help="folder of images")
    write.add_argument("masks", type=Path, help="folder of masks (PNG, TIFF or .npy)")
    write.add_argument("folder", type=Path, help="where the shards are written")
    write.add_argument("--prefix", default="train", help="of the shards' names (default: train)")
    write.add_argument("--per-shard", type=int, default=1000, help="samples in one shard (default: 1000)")
    write.add_argument("--mask-suffix", default="", help="added to an image's name, as _mask")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "index":
            return _index(chosen.shards)
        return _write(chosen)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _index(patterns: Sequence[str]) -> int:
    shards = find_shards(patterns)
    index, damaged = index_shards(_shown(shards, "indexing"), skip_damaged=True)
    print(f"{len(index)} samples in {len(shards)} shards")
    for file, reason in damaged.items():
        print(f"{file}: {reason}", file=sys.stderr)
    return 1 if damaged else 0


def _write(chosen: argparse.Namespace) -> int:
    pairs = _pairs(chosen.images, chosen.masks, chosen.mask_suffix)
    with ShardWriter(chosen.folder, chosen.prefix, per_shard=chosen.per_shard) as writer:
        for image, mask in _shown(pairs, "writing"):
            key = image.stem.replace(".", "_")
            writer.write(key, {image.suffix[1:].lower(): image, f"mask{mask.suffix.lower()}": mask})
    print(f"{len(pairs)} samples in {len(writer.files)} shards below {chosen.folder}")
    return 0


def _shown(items: Sequence[Item], doing: str) -> Iterable[Item]:
    """The items, with a bar of how many are done on a terminal."""
    return track(items, doing, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _pairs(images: Path, masks: Path, suffix: str) -> list[tuple[Path, Path]]:
    """Images and their masks, sorted by name; prefixes and suffixes that pair all are found.

    Raises:
        ValueError: an image without a mask, or none at all.
    """
    known = {each.stem: each for each in _visible(masks) if each.suffix.lower() in _MASKS}
    found = {each.stem: each for each in _visible(images) if each.suffix.lower() in _IMAGES}
    if not found:
        raise ValueError(f"{images}: holds no {', '.join(_IMAGES)}; give the folder of the images")
    given = {"mask_suffix": suffix} if suffix else {}
    pairing = tried(Affixes(**given), found, known)
    if not pairing.pairs:
        other = find_pairing(found, known, given)
        pairing = other if other is not None and other.complete else pairing
    lacking = [name for name in found if name not in pairing.pairs]
    if lacking:
        raise ValueError(
            f"{masks}: has no {lacking[0]}{suffix}.png for {found[lacking[0]].name}, nor for "
            f"{len(lacking) - 1} more; --mask-suffix distinguishes their names"
        )
    return [(image, known[pairing.pairs[name]]) for name, image in found.items()]


def _visible(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if not each.name.startswith("."))


if __name__ == "__main__":
    sys.exit(main())
