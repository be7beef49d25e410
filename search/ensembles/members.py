"""The folder of an ensemble: an export of each member, and what says how they belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from search.config.config import Config
from search.ensembles.averages import average_of
from search.ensembles.card import Story, ensemble_card
from search.errors import SearchError
from search.exports.disk import whole_export
from search.exports.export import write_model
from search.exports.files import CARD, write_sums
from search.exports.steps import Leaving
from search.predicting.exported import METRICS, WEIGHTS
from search.run.before.provenance import own_code
from search.run.disk.folder import write_json
from trainables.checkpoints.checkpoint import library_versions, sha256
from trainables.predicting.ensemble import ENSEMBLE, MEMBERS
from trainables.training.trainer import Trainer
from trainables.training.validation import Validation


@dataclass(frozen=True)
class Member:
    """A model on its way out, as a part of an ensemble; it may be of any training, with data of its own."""

    label: str
    """As people know it, such as `trial 7`."""
    count: int
    """How often it counts in the mean."""
    leaving: Leaving

    @property
    def trainer(self) -> Trainer:
        trainer = self.leaving.trainer
        assert isinstance(trainer, Trainer)
        return trainer


def write_ensemble(
    out: Path,
    config: Config,
    members: Iterable[Member],
    number: int,
    story: Story,
    measure: Callable[[], Mapping[str, float]],
    phase: Callable[[str], None],
) -> dict[str, Any]:
    """Write the folder of an ensemble, completely or not at all; returns what its metrics.json holds.

    Args:
        out: whose content may be replaced, see `refuse_other_content`.
        members: in their order. Each is asked for when those before it are written, and its trainer has
            loaded what was written when the next one is.
        number: of members.
        measure: is called when all members are written; gives the metrics of the whole, such as `measured`,
            and may raise to refuse.

    Raises:
        SearchError: a member's written weights do not give its recorded value, or the disk is full.
    """
    told: list[dict[str, Any]] = []
    first: Leaving | None = None
    with whole_export(out) as partial:
        for place, member in enumerate(members, start=1):
            phase(f"writing and evaluating {member.label}, {place} of {number}")
            folder = partial / MEMBERS / str(place)
            folder.mkdir(parents=True)
            write_model(folder, member.leaving)
            first = first or member.leaving
            told.append(_told(partial, place, member))
        assert first is not None
        info = first.checkpoint.info
        metrics = dict(measure())
        objective = {key: info.get(key, 1) for key in ("metric", "mode", "window")}
        objective["value"] = metrics[info["metric"]]
        entries = {"objective": objective, "members": told}
        how = {"method": story.method, "caveat": story.caveat, **story.details}
        write_json(partial / ENSEMBLE, {"version": 1, **entries, **how})
        report = {
            **entries,
            "metrics": metrics,
            **story.report,
            "versions": library_versions(),
            "code": own_code(config),
            "exported": f"{datetime.now(UTC):%F %T} UTC",
        }
        write_json(partial / METRICS, report)
        card = ensemble_card(config, report, story, first, partial)
        (partial / CARD).write_text(card, encoding="utf-8")
        write_sums(partial)
    return report


def _told(folder: Path, number: int, member: Member) -> dict[str, Any]:
    """What the files say of a member."""
    report, info = member.leaving.report, member.leaving.checkpoint.info
    return {
        "member": number,
        "label": member.label,
        "count": member.count,
        "trial": report["trial"],
        "virtual_epoch": report["virtual_epoch"],
        "value": report["objective"]["value"],
        "parameters": sum(p.numel() for p in member.trainer.evaluated_model.parameters()),
        "model": info["options"].get("model", {}),
        "sha256": sha256(folder / MEMBERS / str(number) / WEIGHTS),
    }


def measured(members: Sequence[Member], progress: Callable[[str, int, int], None]) -> Mapping[str, float]:
    """The metrics of the mean of the members, of which all have the same validation data.

    Raises:
        SearchError: they have not.
    """
    trainers = [member.trainer for member in members]
    reference = trainers[0]
    length, size = len(reference.valid_source), reference.valid_batch_size
    for member in members:
        if len(member.trainer.valid_source) != length:
            raise SearchError(f"{member.label} has other validation data than {members[0].label}")
    averages = [average_of(trainer.task) for trainer in trainers]
    counts = [member.count for member in members]
    found = Validation(reference.task, reference.device)
    starts = range(0, length, size)

    def outputs(start: int) -> Iterator[Tensor]:
        for trainer in trainers:
            with trainer.validating(trainer.evaluated_model):
                given = trainer.outputs(start, trainer.evaluated_model, size)[0]
            yield given

    for number, start in enumerate(starts):
        with reference.validating(reference.evaluated_model):
            batch = reference.valid_batch(start)
            found.add(averages[0].together(averages, outputs(start), counts), batch)
        progress("evaluating the ensemble", number + 1, len(starts))
    return found.compute()
