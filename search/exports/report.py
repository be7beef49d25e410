"""What an export says of itself for programs: metrics.json, and a configuration that a search can read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from search.config.config import Config
from search.exports.schedule import exported_schedule
from search.race.confirmed import Confirmed
from search.run.before.provenance import own_code
from search.run.data.record import TrialData
from trainables.checkpoints.checkpoint import Checkpoint, library_versions
from trainables.function.trainer import FunctionTrainer
from trainables.training.trainer import Trainer


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


def exported_report(
    config: Config,
    checkpoint: Checkpoint,
    metrics: Mapping[str, float],
    trainer: Trainer | FunctionTrainer,
    data: TrialData,
    race: Confirmed | None,
    soup: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What metrics.json holds, without graphs.

    Args:
        soup: what soup.json holds; its weights have no history.
    """
    info, other_data, fingerprint = checkpoint.info, data.other, data.fingerprint
    objective = {key: info.get(key, 1) for key in ("metric", "mode", "window")}  # formerly without a window
    report = {
        "trial": info["trial"] if race is None else race.winner,
        "virtual_epoch": checkpoint.virtual_epoch,
        "step": info["history"][checkpoint.virtual_epoch - 1]["step"],
        "objective": {**objective, "value": metrics[info["metric"]]},
        "metrics": dict(metrics),
        **({"history": info["history"]} if soup is None else {"soup": trials_in(soup)}),
        "lengths": trainer.virtual_epochs.as_dict(),
        **({} if other_data else {"samples": _samples(trainer)}),
        **({} if fingerprint is None else {"data": fingerprint.as_dict()}),
        "versions": library_versions(),
        "code": own_code(config),
        "exported": f"{datetime.now(UTC):%F %T} UTC",
    }
    if other_data:
        report["not_evaluated"] = f"the data have changed since the training: {'; '.join(other_data)}"
    return report | exported_schedule(checkpoint) | ({} if race is None else {"confirmed": race.of_winner()})


def trials_in(soup: Mapping[str, Any]) -> list[int]:
    """Numbers of the trials whose weights are averaged."""
    return [each["trial"] for each in soup["candidates"] if each["kept"]]


def _samples(trainer: Trainer | FunctionTrainer) -> dict[str, int]:
    """Samples of training and of validation, where they are known."""
    if isinstance(trainer, FunctionTrainer):
        return {}
    epoch = trainer.virtual_epochs.epoch_samples
    return ({} if epoch is None else {"training": epoch}) | {"validation": len(trainer.valid_source)}
