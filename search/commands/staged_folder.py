"""The folder of a search in stages: which of its stages have begun, and upkeep of them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from search.commands.clean import Cleaning, Item, clean, of_the_run
from search.commands.verify import Damage, Verification, verify
from search.config.document import read_document
from search.errors import ConfigError, SearchError
from search.run.folder import RunFolder
from search.study.study import read_records
from search.study.trial import best_record

BASE = "base.yaml"
"""In the folder of each stage but the first: the trial before it whose values it goes on with."""


def begun_stages(folder: RunFolder) -> list[RunFolder]:
    """The folders of the stages that have begun, in their order."""
    found = [RunFolder(path) for path in folder.stages.iterdir() if path.name.partition("-")[0].isdecimal()]
    begun = [stage for stage in found if stage.journal.is_file()]
    return sorted(begun, key=lambda stage: int(stage.path.name.partition("-")[0]))


def last_stage_with_a_best(folder: RunFolder) -> RunFolder:
    """The last stage that has a trial with a value.

    Raises:
        SearchError: none has one.
    """
    for stage in reversed(begun_stages(folder)):
        # Which of two trials is better does not matter for whether there is one.
        if best_record(read_records(stage.journal), "max") is not None:
            return stage
    raise SearchError(f"{folder.path} has no trial with a value yet; nothing to export")


def verify_stages(
    whole: Verification, folder: RunFolder, progress: Callable[[int, int], None]
) -> Verification:
    """What was found in the whole's own files, with what is found in each stage."""
    stages = begun_stages(folder)
    found = [verify(stage.path, progress=progress) for stage in stages]
    damages = [*whole.damages, *_damaged_bases(folder, stages)]
    for stage, verification in zip(stages, found, strict=True):
        damages += [replace(d, path=f"stages/{stage.path.name}/{d.path}") for d in verification.damages]
    return replace(
        whole,
        trials=sum(v.trials for v in found),
        virtual_epochs=sum(v.virtual_epochs for v in found),
        checkpoints=sum(v.checkpoints for v in found),
        num_bytes=sum(v.num_bytes for v in found),
        damages=sorted(damages, key=lambda damage: damage.path),
    )


def clean_stages(folder: RunFolder, *, dry_run: bool, keep_trials: int | None) -> Cleaning:
    """Clean each stage, and what interrupted writes have left beside them."""
    with nullcontext() if dry_run else folder.owned():
        stages = begun_stages(folder)
        found = [clean(stage.path, dry_run=dry_run, keep_trials=keep_trials) for stage in stages]
        items = [
            Item(str(p.relative_to(folder.path)), p.stat().st_size, why) for p, why in of_the_run(folder)
        ]
        if not dry_run:
            for item in items:
                (folder.path / item.path).unlink()
    for stage, cleaning in zip(stages, found, strict=True):
        items += [replace(item, path=f"stages/{stage.path.name}/{item.path}") for item in cleaning.items]
    keep = keep_trials or max((cleaning.keep_trials for cleaning in found), default=1)
    return Cleaning(folder=folder.path, dry_run=dry_run, keep_trials=keep, items=items)


def _damaged_bases(folder: RunFolder, stages: Sequence[RunFolder]) -> list[Damage]:
    damages = []
    for stage in stages[1:]:
        file = stage.path / BASE
        try:
            whole = "options" in read_document(file).check().raw
            reason = "is not whole"
        except ConfigError as error:
            whole, reason = False, error.problems[0].message
        if not whole:
            cost = "this stage cannot go on; its values stand in its config.yaml too, under trial:"
            damages.append(Damage(str(Path(file).relative_to(folder.path)), reason, cost))
    return damages
