"""Exports the best checkpoint as files that need no tune-search, after evaluating what was written."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from search.addresses import local_path
from search.config.config import Config
from search.config.document import write_yaml
from search.config.stages import open_run
from search.errors import RefusedError, SearchError
from search.exports.chosen import chosen, last_with_a_value
from search.exports.model_card import model_card
from search.exports.restore import prepared_of, restore_trainer
from search.exports.schedule import exported_schedule
from search.race.confirmed import Confirmed
from search.run.confirm import read_confirmed
from search.run.data_record import TrialData, data_for
from search.run.folder import RunFolder, write_json
from search.run.provenance import own_code, working_folder
from search.study.study import read_records
from search.study.trial import TrialRecord
from search.text import command
from trainables.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    library_versions,
    read_checkpoint,
    sha256,
)
from trainables.files import atomic_folder
from trainables.function.trainer import FunctionTrainer
from trainables.reported import OF_A_REPORT
from trainables.trainer import Trainer

WEIGHTS = "model.safetensors"
CONFIG = "config.yaml"
METRICS = "metrics.json"
CARD = "README.md"
SUMS = "SHA256SUMS"
FILES = (WEIGHTS, CONFIG, METRICS, CARD)
"""Files of every export, besides their checksums."""
PREPARED = "prepared.safetensors"
"""Arrays that the task prepared for the run; not in every export."""
PREPROCESSING = "preprocessing.json"
"""How raw data become the model's inputs; not in every export."""
DATA = "data.fingerprint"
"""What the data were made of, see `trainables.data.fingerprint`; not in every export."""
OPTIONAL_FILES = (PREPARED, PREPROCESSING, DATA)
_OF_THE_SYSTEM = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers write into any folder."""

# The value is the same on the same device and versions; another device sums in another order. A model that
# was measured in bf16 or fp16 decides otherwise where two classes are nearly alike.
SAME_ARITHMETIC, OTHER_ARITHMETIC = 1e-3, 3e-2


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


def export(
    run: str | Path,
    *,
    trial: int | None = None,
    out: str | Path | None = None,
    before_loading: Callable[[], None] = lambda: None,
) -> Export:
    """Export a trial's best checkpoint from the folder of a search, which may still be running.

    Args:
        run: the search's folder. For a search in stages, the last stage that has a best trial is exported.
        trial: number of the trial, whose checkpoint of the search is exported (default: of the winner of the
            race over seeds the run of median value; without such a race, the best trial).
        out: folder to write (default: `<run>/export`). An existing export is replaced as a whole, unless
            it holds files of yours.
        before_loading: is called when the checkpoint is known and intact, before the data are loaded, which
            may take long.

    Raises:
        SearchError: there is no such trial or no intact checkpoint, the value differs from the recorded one,
            or `out` holds something other than an export, or files of yours.
    """
    folder = RunFolder.at(run)
    folder.require()
    target = local_path(out).absolute() if out else folder.exported
    stage, records = last_with_a_value(folder)
    race = read_confirmed(folder) if trial is None else None
    with working_folder(stage):
        if race is not None and race.status == "complete" and race.winner is not None:
            exported = _export_winner(folder, stage, race, target, before_loading)
        else:
            exported = replace(
                _export(stage, records, trial, target, before_loading), note=_no_winner(folder, race)
            )
    return replace(exported, stage=stage.path.name if folder.is_staged else None)


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


def _export_winner(
    folder: RunFolder, stage: RunFolder, race: Confirmed, out: Path, begin: Callable[[], None]
) -> Export:
    """The winner's run of median value: what a new seed should give. The best run has a lucky seed."""
    home, config = RunFolder(folder.confirm_path), open_run(stage.config).first
    record = next(record for record in read_records(home.journal) if record.number == race.run)
    try:
        found = read_checkpoint(home.trial(record.number), record.best_virtual_epoch(config.objective.mode))
        begin()
        data = data_for(config, home, record)
        return export_checkpoint(found, config, out, data.prepared, data, race)
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
    begin: Callable[[], None],
) -> Export:
    config = open_run(folder.config).first
    record = chosen(folder, config, records, trial)
    try:
        best = record.best_virtual_epoch(config.objective.mode)
        checkpoint = read_checkpoint(folder.trial(record.number), best)
        begin()
        data = data_for(config, folder, record)
        return export_checkpoint(checkpoint, config, out, data.prepared, data)
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
        SearchError: the written weights do not give the recorded value, or `out` holds something else.
        DamagedCheckpointError: the checkpoint cannot be loaded.
    """
    info = checkpoint.info
    record = info["history"][checkpoint.virtual_epoch - 1]
    refuse_other_content(out := out.absolute())
    file = prepared_of(checkpoint, prepared)
    trainer = restore_trainer(checkpoint, file, loaded=data.arrays, of_other_data=bool(data.other))
    with atomic_folder(out) as partial:
        save_file(_plain(trainer.evaluated_model.state_dict()), partial / WEIGHTS)
        # Evaluate the written weights, not those in memory.
        trainer.evaluated_model.load_state_dict(load_file(partial / WEIGHTS))
        metrics = None if data.other else trainer.validate()
        evaluated = metrics is not None and info["metric"] in metrics
        if metrics is None or not evaluated:
            metrics = {name: value for name, value in record.items() if name not in OF_A_REPORT}
        else:
            _check_value(info, record, metrics, trainer)
        if file.is_file():
            shutil.copyfile(file, partial / PREPARED)
        if data.fingerprint is not None:
            (partial / DATA).write_bytes(data.fingerprint.to_bytes())
        report = _report(config, checkpoint, metrics, trainer, data.other, race)
        _write_texts(partial, config, checkpoint, report, trainer)
    trainer.close()
    done = Export(out, report["trial"], info["metric"], metrics[info["metric"]], metrics, evaluated)
    done = replace(done, other_data=data.other, scheduled="schedule" in report)
    return replace(done, confirmed=report.get("confirmed"))


def _check_value(
    info: Mapping[str, Any],
    record: Mapping[str, Any],
    metrics: Mapping[str, float],
    trainer: Trainer | FunctionTrainer,
) -> None:
    """Raise SearchError unless the written weights give what was recorded, as far as arithmetic allows."""
    expected, found = record[info["metric"]], metrics[info["metric"]]
    here = (trainer.device.type, trainer.precision_name)
    there = (info.get("device", here[0]), info.get("precision", here[1]))
    tolerance = SAME_ARITHMETIC if here == there else OTHER_ARITHMETIC
    if not math.isclose(expected, found, rel_tol=tolerance, abs_tol=1e-6):
        other = f" on {there[0]} in {there[1]}, evaluated here on {here[0]} in {here[1]}"
        how = "" if here == there else other
        raise SearchError(
            f"the exported weights give {info['metric']} {found:.6g} and {expected:.6g} was recorded{how}; "
            "nothing was exported. Have the data, the task's code or a library changed since?"
        )


def refuse_other_content(out: Path) -> None:
    """Refuse a folder with anything that no export wrote, or that a person has edited since.

    Raises:
        SearchError: with the names of such files.
    """
    there = sorted(out.iterdir()) if out.is_dir() else []
    if out.exists() and (there or not out.is_dir()) and not (out / SUMS).is_file():
        raise RefusedError(f"{out} exists and is not an export: it has no {SUMS}; give another --out")
    written = _sums(out / SUMS) if there else {}
    foreign = [path.name for path in there if path.name not in (*written, SUMS, *_OF_THE_SYSTEM)]
    edited = [path.name for path in there if path.name in written and sha256(path) != written[path.name]]
    if foreign or edited:
        found = [f"{_listed(foreign)}, which no export wrote"] if foreign else []
        found += [f"{_listed(edited)}, edited since"] if edited else []
        raise RefusedError(
            f"{out} holds {', and '.join(found)}; a new export would replace the folder: move these "
            "elsewhere, or give another --out"
        )


def _sums(file: Path) -> dict[str, str]:
    """SHA-256 by name, as `_write_texts` wrote them."""
    lines = (line.partition("  ") for line in file.read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, _, name in lines}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def exported_config(config: Config, checkpoint: Checkpoint) -> dict[str, Any]:
    """The configuration with the trial's values in place of domains; a search can read it."""
    info = checkpoint.info
    return {
        "name": config.name,
        "task": config.raw["task"],
        "objective": config.objective.model_dump(),
        "trial": info["options"],
        "virtual_epoch": info["virtual_epoch"],
        "budget": {"trials": 1, "max_virtual_epochs": info["num_virtual_epochs"]},
        "scheduler": {"name": "none"},
    }


def _report(
    config: Config,
    checkpoint: Checkpoint,
    metrics: Mapping[str, float],
    trainer: Trainer | FunctionTrainer,
    other_data: Sequence[str],
    race: Confirmed | None,
) -> dict[str, Any]:
    """What metrics.json holds."""
    info = checkpoint.info
    objective = {key: info.get(key, 1) for key in ("metric", "mode", "window")}  # formerly without a window
    report = {
        "trial": info["trial"] if race is None else race.winner,
        "virtual_epoch": checkpoint.virtual_epoch,
        "step": info["history"][checkpoint.virtual_epoch - 1]["step"],
        "objective": {**objective, "value": metrics[info["metric"]]},
        "metrics": dict(metrics),
        "history": info["history"],
        "lengths": trainer.virtual_epochs.as_dict(),
        "versions": library_versions(),
        "code": own_code(config),
        "exported": f"{datetime.now(UTC):%F %T} UTC",
    }
    if other_data:
        report["not_evaluated"] = f"the data have changed since the training: {'; '.join(other_data)}"
    return report | exported_schedule(checkpoint) | ({} if race is None else {"confirmed": race.of_winner()})


def _write_texts(
    folder: Path,
    config: Config,
    checkpoint: Checkpoint,
    report: Mapping[str, Any],
    trainer: Trainer | FunctionTrainer,
) -> None:
    info = checkpoint.info
    write_yaml(folder / CONFIG, exported_config(config, checkpoint))
    write_json(folder / METRICS, report)
    preprocessing = info.get("preprocessing", {}) if "not_evaluated" in report else trainer.preprocessing()
    if preprocessing:
        write_json(folder / PREPROCESSING, preprocessing)
    num_parameters = sum(p.numel() for p in trainer.evaluated_model.parameters())
    card = model_card(config, report, info["options"], num_parameters, preprocessing)
    (folder / CARD).write_text(card, encoding="utf-8")
    written = [name for name in (*FILES, *OPTIONAL_FILES) if (folder / name).is_file()]
    sums = [f"{sha256(folder / name)}  {name}" for name in written]
    (folder / SUMS).write_text("\n".join(sums) + "\n", encoding="utf-8")


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU, so that tied weights are written under each of their names."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
