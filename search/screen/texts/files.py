"""The final output of the commands that look after a run's files."""

from __future__ import annotations

from search.commands.clean import Cleaning
from search.commands.damages import Verification
from search.text import counted, one_line, short_path, size_text


def verification_text(found: Verification) -> str:
    """What was checked, each damage with its cost, and the result."""
    folder, damages = short_path(found.folder), found.damages
    counts = (
        counted(found.trials, "trial"),
        counted(found.virtual_epochs, "virtual epoch"),
        f"{counted(found.checkpoints, 'checkpoint')} of {size_text(found.num_bytes)}",
    )
    lines = [f"checked {folder}: {', '.join(counts)}"]
    if found.owner is not None:
        lines.append(f"a search is running there ({found.owner}): files that it is writing were left out")
    for damage in damages:
        lines += ["", f"{one_line(damage.path)}: {one_line(damage.what)}", f"  cost: {one_line(damage.cost)}"]
    verdict = f"{counted(len(damages), 'problem')} found" if damages else "no problems found"
    return "\n".join([*lines, "", verdict])


def reading_progress(done: int, total: int) -> str:
    """How many bytes of the checkpoints were read."""
    return f"read {size_text(done)} of {size_text(total)}"


def cleaning_text(cleaning: Cleaning) -> str:
    """What was removed or would be removed, with sizes."""
    folder, items = short_path(cleaning.folder), cleaning.items
    if not items:
        return f"nothing to remove from {folder}"
    width = max(len(item.path) for item in items)
    lines = [f"would be removed from {folder}:" if cleaning.dry_run else f"removed from {folder}:"]
    lines += [f"  {item.path:<{width}}  {size_text(item.num_bytes):>9}  {item.why}" for item in items]
    size = f"{size_text(cleaning.num_bytes)} ({cleaning.num_bytes:,} bytes)"
    return "\n".join([*lines, "", f"{counted(len(items), 'item')}, {size}"])
