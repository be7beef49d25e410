"""Exports the best checkpoint as files that need no tune-search, after evaluating what was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from search.addresses import local_path
from search.config.config import Config
from search.config.stages import open_run
from search.errors import RefusedError, SearchError
from search.exports.chosen import chosen, last_with_a_value
from search.exports.disk import whole_export
from search.exports.files import refuse_other_content
from search.exports.graphs import require_evaluable, require_libraries
from search.exports.restore import prepared_of, restore_trainer
from search.exports.steps import STEPS, Leaving
from search.graphs.write import GraphFormat
from search.race.confirmed import Confirmed
from search.run.before.provenance import working_folder
from search.run.confirm import read_confirmed
from search.run.data.record import TrialData, data_for
from search.run.disk.folder import RunFolder
from search.run.disk.storage import bring
from search.study.reading import read_records
from search.study.trial import TrialRecord
from search.text import command
from trainables.checkpoints.checkpoint import Checkpoint, DamagedCheckpointError, read_checkpoint


@dataclass(frozen=True)
class Export:
    """An exported model: its folder, the trial it comes from and its re-evaluated objective."""

    folder: Path
    trial: int
    metric: str
    value: float
    metrics: Mapping[str, Any]
    evaluated: bool = True
    """The value is that of the written files; else the recorded one."""
    stage: str | None = None
    """The stage that the trial belongs to, in a search in stages."""
    confirmed: Mapping[str, Any] | None = None
    """What the race says of it, if the checkpoint is one of the race's winner, see `Confirmed.of_winner`."""
    note: str = ""
    """Why it is not the winner of the race that there is."""
    other_data: tuple[str, ...] = ()
    """How the data differ from those it was trained on; then `value` is the recorded one, not evaluated."""
    scheduled: bool = False
    """Its values changed while it was trained, see `schedule` in metrics.json."""
    graphs: Mapping[str, Any] = field(default_factory=dict)
    """What metrics.json says of each graph that was written, by format."""


@dataclass(frozen=True)
class How:
    """What is written beside the weights."""

    formats: Sequence[GraphFormat] = ()
    with_preprocessing: bool = False
    phase: Callable[[str], None] = lambda text: None
    """Is told what begins, which may take long."""


PLAIN = How()
Format = Literal["safetensors", "onnx", "pt2"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(
    run: str | Path,
    *,
    trial: int | None = None,
    out: str | Path | None = None,
    formats: Sequence[Format] = ("safetensors",),
    with_preprocessing: bool = False,
    phase: Callable[[str], None] = lambda text: None,
) -> Export:
    """Export a trial's best checkpoint from the folder of a search, which may still be running.

    Args:
        run: the search's folder. For a search in stages, the last stage that has a best trial is exported.
        trial: number of the trial, whose checkpoint of the search is exported (default: of the winner of the
            race over seeds the run of median value; without such a race, the best trial).
        out: folder to write (default: `<run>/export`). An existing export is replaced as a whole, unless
            it holds files of yours.
        formats: "onnx" and "pt2" are written beside the weights, which are always there as safetensors.
        with_preprocessing: these graphs take raw pixels or columns, as preprocessing.json says.
        phase: is told what begins, once the checkpoint is known and intact.

    Raises:
        SearchError: there is no such trial or no intact checkpoint, the value differs from the recorded one,
            `out` holds something other than an export, or files of yours, or a graph cannot be written or
            does not give the value of the weights.
    """
    how = how_to_write(formats, with_preprocessing, phase)
    folder = RunFolder.at(run)
    folder.require()
    target = local_path(out).absolute() if out else folder.exported
    stage, records = last_with_a_value(folder)
    race = read_confirmed(folder) if trial is None else None
    with working_folder(stage):
        if race is not None and race.status == "complete" and race.winner is not None:
            exported = _export_winner(folder, stage, race, target, how)
        else:
            exported = replace(_export(stage, records, trial, target, how), note=_no_winner(folder, race))
    return replace(exported, stage=stage.path.name if folder.is_staged else None)


def how_to_write(formats: Sequence[Format], with_preprocessing: bool, phase: Callable[[str], None]) -> How:
    """What is written beside the weights, in these formats.

    Raises:
        RefusedError: there is no such format, or it cannot be written here.
    """
    how = How(_graphs_of(formats), with_preprocessing, phase)
    require_libraries(how.formats, with_preprocessing=with_preprocessing)
    return how


def _graphs_of(formats: Sequence[Format]) -> tuple[GraphFormat, ...]:
    """Those of the formats that are graphs, each once.

    Raises:
        RefusedError: there is no such format.
    """
    if isinstance(formats, str) or (unknown := [name for name in formats if name not in FORMATS]):
        given = repr(formats) if isinstance(formats, str) else ", ".join(map(repr, unknown))
        raise RefusedError(f"formats: received {given}; must be a list of {', '.join(FORMATS)}")
    return tuple(name for name in dict.fromkeys(formats) if name != "safetensors")


def _no_winner(folder: RunFolder, race: Confirmed | None) -> str:
    """Why the race that there is has no winner to export."""
    if race is None:
        return ""
    if race.status == "complete":
        return (
            "the race over seeds has no winner, as no run has a value; this is the best trial of the search"
        )
    since = "is of an earlier state of the search" if race.status == "outdated" else "is not over"
    again = command("confirm", folder.path)
    return (
        f"the race over seeds {since}; this is the best trial of the search; `{again}` goes on with the race"
    )


def _export_winner(folder: RunFolder, stage: RunFolder, race: Confirmed, out: Path, how: How) -> Export:
    """The winner's run of median value: what a new seed should give. The best run has a lucky seed."""
    home, config = RunFolder(folder.confirm_path), open_run(stage.config).first
    record = next(record for record in read_records(home.journal) if record.number == race.run)
    try:
        best = record.best_virtual_epoch(config.objective.mode)
        bring(config.storage, home, record.number, best)
        found = read_checkpoint(home.trial(record.number), best)
        how.phase("loading data and evaluating the checkpoint")
        data = data_for(config, home, record)
        return export_checkpoint(found, config, out, data.prepared, data, race, how)
    except DamagedCheckpointError as error:
        raise SearchError(
            f"run {record.number} of the race, trial {race.winner}, cannot be exported: {error}; "
            f"`{command('export', folder.path, '--trial', str(race.winner))}` exports the search's checkpoint"
        ) from error


def _export(
    folder: RunFolder,
    records: Sequence[TrialRecord],
    trial: int | None,
    out: Path,
    how: How,
) -> Export:
    config = open_run(folder.config).first
    record = chosen(folder, config, records, trial)
    try:
        best = record.best_virtual_epoch(config.objective.mode)
        bring(config.storage, folder, record.number, best)
        checkpoint = read_checkpoint(folder.trial(record.number), best)
        how.phase("loading data and evaluating the checkpoint")
        data = data_for(config, folder, record)
        return export_checkpoint(checkpoint, config, out, data.prepared, data, how=how)
    except DamagedCheckpointError as error:
        raise SearchError(
            f"trial {record.number} cannot be exported: {error}; "
            f"`{command('verify', folder.path)}` says which other can, for --trial"
        ) from error


def export_checkpoint(
    checkpoint: Checkpoint,
    config: Config,
    out: Path,
    prepared: Path,
    data: TrialData,
    race: Confirmed | None = None,
    how: How = PLAIN,
) -> Export:
    """Write the evaluated model of one checkpoint, completely or not at all.

    One that was trained on other data than there are now is not evaluated: they may be normalized otherwise.

    Args:
        checkpoint: a verified checkpoint.
        config: the run's configuration.
        out: folder to write.
        prepared: the run's folder of prepared arrays, of which those of this checkpoint are exported too.
        data: what it was trained on.
        race: that it was trained in, if so.

    Raises:
        SearchError: the written weights, or graphs, do not give the recorded value, or `out` holds something
            else.
        DamagedCheckpointError: the checkpoint cannot be loaded.
    """
    refuse_other_content(out := out.absolute())
    require_evaluable(how.formats, config, data)
    return write_export(out, leaving_of(checkpoint, config, prepared, data, race, how))


def leaving_of(
    checkpoint: Checkpoint,
    config: Config,
    prepared: Path,
    data: TrialData,
    race: Confirmed | None = None,
    how: How = PLAIN,
) -> Leaving:
    """The model of a checkpoint on its way out, restored to be evaluated; see `export_checkpoint`."""
    file = prepared_of(checkpoint, prepared)
    return Leaving(
        config=config,
        checkpoint=checkpoint,
        trainer=restore_trainer(checkpoint, file, loaded=data.arrays, of_other_data=bool(data.other)),
        data=data,
        prepared=file,
        race=race,
        formats=how.formats,
        with_preprocessing=how.with_preprocessing,
        phase=how.phase,
    )


def write_model(folder: Path, leaving: Leaving) -> None:
    """Write the files of one model into a folder; raises as `export_checkpoint`."""
    for step in STEPS:
        step(folder, leaving)


def write_export(out: Path, leaving: Leaving) -> Export:
    """Write the model as a folder, completely or not at all; raises as `export_checkpoint`."""
    with whole_export(out) as partial:
        write_model(partial, leaving)
    leaving.trainer.close()
    report, metric, data = leaving.report, leaving.checkpoint.info["metric"], leaving.data
    return Export(
        out,
        report["trial"],
        metric,
        report["metrics"][metric],
        report["metrics"],
        leaving.evaluated,
        other_data=data.other,
        scheduled="schedule" in report,
        confirmed=report.get("confirmed"),
        graphs=report.get("graphs", {}),
    )
