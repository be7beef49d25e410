"""Export: the best checkpoint as files that need no tune-search, re-evaluated before they are kept."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from search.commands.model_card import model_card
from search.commands.restore import prepared_of, restore_trainer
from search.config.config import Config
from search.config.document import write_yaml
from search.config.stages import open_run
from search.errors import SearchError
from search.run.folder import RunFolder, write_json
from search.run.provenance import working_folder
from search.study.study import read_records
from search.study.trial import Outcome, best_record
from trainables.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    library_versions,
    read_checkpoint,
    sha256,
)
from trainables.files import atomic_folder
from trainables.trainer import Trainer

WEIGHTS, CONFIG, METRICS, CARD, SUMS = (
    "model.safetensors",
    "config.yaml",
    "metrics.json",
    "README.md",
    "SHA256SUMS",
)
FILES = (WEIGHTS, CONFIG, METRICS, CARD)
"""Files that every export has, besides their sums."""
PREPARED = "prepared.safetensors"
"""Arrays that the task prepared for the run, if it did."""
PREPROCESSING = "preprocessing.json"
"""How raw data become the model's inputs, if the task says so."""
OPTIONAL_FILES = (PREPARED, PREPROCESSING)

# On the same device and versions the number is the same; another device sums in another order.
_RELATIVE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Export:
    """An exported model: its folder, the trial it comes from and its re-evaluated objective."""

    folder: Path
    trial: int
    metric: str
    value: float
    metrics: Mapping[str, Any]
    stage: str | None = None
    """The stage that the trial belongs to, in a search in stages."""


def export(run: str | Path, *, trial: int | None = None, out: str | Path | None = None) -> Export:
    """Export a trial's best checkpoint from the folder of a search, which may still be running.

    Args:
        run: the search's folder. For a search in stages, the last stage that has a best trial is exported.
        trial: number of the trial (default: the best trial).
        out: folder to write (default: `<run>/export`). An existing export is replaced as a whole.

    Raises:
        SearchError: there is no such trial or no intact checkpoint, the value differs from the recorded one,
            or `out` holds something other than an export.
    """
    folder = RunFolder(Path(run).absolute())
    folder.require()
    target = Path(out).absolute() if out else folder.exported
    stage = _last_with_a_value(folder)
    with working_folder(stage):
        return replace(_export(stage, trial, target), stage=stage.path.name if folder.is_staged else None)


def _last_with_a_value(folder: RunFolder) -> RunFolder:
    """The last stage that has a trial with a value; of a search without named stages its folder."""
    for stage in reversed(folder.stages()):
        # Which of two trials is better does not matter for whether there is one.
        if not folder.is_staged or best_record(read_records(stage.journal), "max") is not None:
            return stage
    raise SearchError(f"{folder.path} has no trial with a value yet; nothing to export")


def _export(folder: RunFolder, trial: int | None, out: Path) -> Export:
    config = open_run(folder.config).first
    mode = config.objective.mode
    records = read_records(folder.journal)
    if trial is None:
        record = best_record(records, mode)
        if record is None:
            raise SearchError(f"{folder.path} has no trial with a value yet; nothing to export")
    else:
        found = [r for r in records if r.number == trial]
        if not found:
            raise SearchError(f"there is no trial {trial}; {folder.path} has trials 0 to {len(records) - 1}")
        record = found[0]
    if not record.values or record.outcome in (Outcome.FAILED, Outcome.OUT_OF_MEMORY):
        raise SearchError(
            f"trial {record.number} has no value to export ({record.reason or 'no virtual epoch yet'})"
        )
    try:
        checkpoint = read_checkpoint(folder.trial(record.number), record.best_virtual_epoch(mode))
        return export_checkpoint(checkpoint, config, out, folder.prepared)
    except DamagedCheckpointError as error:
        raise SearchError(
            f"trial {record.number} cannot be exported: {error}; "
            f"`tune-search verify {folder.path}` says which other can, for --trial"
        ) from error


def export_checkpoint(checkpoint: Checkpoint, config: Config, out: Path, prepared: Path) -> Export:
    """Write the evaluated model of one checkpoint; whole or not at all.

    Args:
        checkpoint: a verified checkpoint.
        config: the run's configuration.
        out: folder to write.
        prepared: the run's folder of prepared arrays; those of this checkpoint's data are exported too.

    Raises:
        SearchError: the written weights do not give the recorded value, or `out` is no export.
        DamagedCheckpointError: the checkpoint cannot be loaded.
    """
    info = checkpoint.info
    record = info["history"][checkpoint.virtual_epoch - 1]
    out = out.absolute()
    _refuse_other_content(out)
    file = prepared_of(checkpoint, prepared)
    trainer = restore_trainer(checkpoint, file)
    with atomic_folder(out) as partial:
        save_file(_plain(trainer.evaluated_model.state_dict()), partial / WEIGHTS)
        # What is evaluated is what was written, not what was in memory.
        trainer.evaluated_model.load_state_dict(load_file(partial / WEIGHTS))
        metrics = trainer.validate()
        expected, found = record[info["metric"]], metrics[info["metric"]]
        if not math.isclose(expected, found, rel_tol=_RELATIVE_TOLERANCE, abs_tol=1e-6):
            raise SearchError(
                f"the exported weights give {info['metric']} {found:.6g} and {expected:.6g} was recorded; "
                "nothing was exported. Did the data, the task's code or a library change since?"
            )
        if file.is_file():
            shutil.copyfile(file, partial / PREPARED)
        _write_texts(partial, config, checkpoint, metrics, trainer)
    return Export(out, info["trial"], info["metric"], found, metrics)


def _refuse_other_content(out: Path) -> None:
    empty = out.is_dir() and not any(out.iterdir())
    if out.exists() and not empty and not (out / SUMS).is_file():
        raise SearchError(
            f"{out} exists and is no export: it has no {SUMS}; it would be replaced as a whole, so give "
            "another --out, or remove it"
        )


def exported_config(config: Config, checkpoint: Checkpoint) -> dict[str, Any]:
    """The configuration with the trial's values in place of domains; a search can read it."""
    info = checkpoint.info
    return {
        "name": config.name,
        "task": config.raw["task"],
        "objective": config.raw["objective"],
        "trial": info["options"],
        "virtual_epoch": info["virtual_epoch"],
        "budget": {"trials": 1, "max_virtual_epochs": info["num_virtual_epochs"]},
        "scheduler": {"name": "none"},
    }


def _write_texts(
    folder: Path, config: Config, checkpoint: Checkpoint, metrics: Mapping[str, float], trainer: Trainer
) -> None:
    info = checkpoint.info
    write_yaml(folder / CONFIG, exported_config(config, checkpoint))
    report = {
        "trial": info["trial"],
        "virtual_epoch": checkpoint.virtual_epoch,
        "step": info["history"][checkpoint.virtual_epoch - 1]["step"],
        "objective": {"metric": info["metric"], "mode": info["mode"], "value": metrics[info["metric"]]},
        "metrics": dict(metrics),
        "history": info["history"],
        "lengths": trainer.virtual_epochs.as_dict(),
        "versions": library_versions(),
        "exported": f"{datetime.now(UTC):%F %T} UTC",
    }
    write_json(folder / METRICS, report)
    preprocessing = trainer.task.preprocessing()
    if preprocessing:
        write_json(folder / PREPROCESSING, preprocessing)
    num_parameters = sum(p.numel() for p in trainer.evaluated_model.parameters())
    (folder / CARD).write_text(
        model_card(config.name, config.task_path, report, info["options"], num_parameters, preprocessing)
    )
    written = [name for name in (*FILES, *OPTIONAL_FILES) if (folder / name).is_file()]
    sums = [f"{sha256(folder / name)}  {name}" for name in written]
    (folder / SUMS).write_text("\n".join(sums) + "\n")


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU: tied weights are written under each of their names."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
