"""The values of all folds in the model card of the export whose configuration was trained on them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from search.errors import RefusedError
from search.exports.files import CARD, SUMS, refuse_other_content, write_sums
from search.retraining.begun import is_member
from search.retraining.values import FoldValues
from search.text import counted, number_text
from trainables.files import atomic_folder

_BEGIN, _END = "<!-- folds -->", "<!-- end of folds -->"
_BEFORE = "\n## Data\n"
"""What the values are put before."""


def tell_folds(exported: Path, values: FoldValues) -> str:
    """Write the values into README.md of an export, and its checksums; returns why not, where that is so.

    What a person has edited stays as it is. The checksums of an ensemble hold those of its members.
    """
    whole = exported.parent.parent if is_member(exported) else exported
    try:
        refuse_other_content(whole)
    except RefusedError as error:
        return f"the model card does not tell of the folds: {error}"
    card = (exported / CARD).read_text(encoding="utf-8")
    head, _, rest = card.partition(_BEGIN)
    told = head + rest.partition(_END)[2].removeprefix("\n") if rest else card
    told = told.replace(_BEFORE, f"\n{_BEGIN}\n{_text(values)}\n{_END}\n{_BEFORE}", 1)
    if told == card:
        return ""
    with atomic_folder(whole) as partial:
        for file in filter(Path.is_file, whole.rglob("*")):
            copy = partial / file.relative_to(whole)
            copy.parent.mkdir(parents=True, exist_ok=True)
            _linked(file, copy)
        member = partial / exported.relative_to(whole)
        for name in (CARD, SUMS):  # new files, as the links share what they hold
            (member / name).unlink(missing_ok=True)
        (member / CARD).write_text(told, encoding="utf-8")
        write_sums(member)
        if member != partial:
            (partial / SUMS).unlink(missing_ok=True)
            write_sums(partial)
    return ""


def _linked(file: Path, copy: Path) -> None:
    """The same file without another copy of it, where the file system can do that."""
    try:
        os.link(file, copy)
    except OSError:
        shutil.copy2(file, copy)


def _text(values: FoldValues) -> str:
    rows = "\n".join(
        f"| {each.fold} | {number_text(each.value)} | {each.samples.get('validation', 0):,} |"
        for each in values.values
    )
    spread = "" if values.std is None else f" ± {number_text(values.std)}"
    by = "" if values.group is None else f", groups by `{values.group}` kept together"
    return f"""
## Folds

The configuration was trained anew on each of {counted(values.folds, "fold")} of the data{by}: {values.metric}
**{number_text(values.mean)}{spread}** (mean ± standard deviation over folds). Each value is of the
fold that was not trained on, at its best virtual epoch; the configuration was chosen by one of the folds.
The weights here are of none of these trainings.

| fold | {values.metric} | validation samples |
|---|---|---|
{rows}
"""
