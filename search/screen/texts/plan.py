"""The plan of a search as `check` prints it."""

from __future__ import annotations

from pathlib import Path

from search.commands.check import Check
from search.fidelity.audit import MIN_TRIALS
from search.text import counted, duration, short_path, size_text


def plan_rows(check: Check) -> dict[str, str]:
    """What the search is, what of it was measured, and what it should take."""
    config, budget, scheduler = check.config, check.config.budget, check.config.scheduler
    unit, steps = config.virtual_epoch, check.steps_per_virtual_epoch
    passes = check.epochs_per_virtual_epoch
    audited = f", {counted(scheduler.audit, 'trial')} let through to full length" if scheduler.audit else ""
    rungs = f", rungs at {check.rungs} {scheduler.axis.replace('_', ' ')}"
    rows = {
        "name": config.name + (", after the file" if check.named_by_file else ""),
        "task": f"{config.task_path} in {short_path(Path(check.task_file))}",
        "objectives" if config.objectives else "objective": "; ".join(
            f"{each.metric}, {each.mode}: {'higher' if each.mode == 'max' else 'lower'} is better"
            for each in config.objectives or [config.objective]
        ),
        "training data": "unknown length" if check.num_train is None else f"{check.num_train} samples",
        "validation data": "the function's own" if check.num_valid is None else f"{check.num_valid} samples",
        "model": f"{check.model}, {check.num_parameters:,} parameters (of the trial that was run)",
        "batch": check.batch,
        "device": check.device,
        "step": f"{check.seconds_per_step * 1e3:.1f} ms, "
        f"validation {check.seconds_per_validation * 1e3:.0f} ms",
        "checkpoint": f"{size_text(check.checkpoint_bytes)}, "
        f"up to {size_text(check.space_needed)} for the whole search",
        "virtual epoch": f"{unit.count} {unit.unit}"
        + (f", {steps} steps" if unit.unit != "steps" else "")
        + (f", {passes:.3g} passes over the training data" if passes is not None else ""),
        "trials": f"{_trials(check)}, up to {budget.max_virtual_epochs} virtual epochs each, "
        f"{check.concurrency} at a time" + (f" ({check.sizes})" if check.sizes else ""),
        "sampler": f"{config.sampler.name}, seed {config.sampler.seed}",
        "scheduler": scheduler.name + (rungs if hasattr(scheduler, "reduction_factor") else "") + audited,
    }
    if budget.limits_compute:
        worth = "" if check.full_trainings >= 1 else "; less than one full training, so the best is cut off"
        rows["budget"] = f"{check.budget}{worth}"
    if check.largest_batch is not None:
        rows["batch size"] = check.largest_batch
    if check.stages:
        rows["stages"] = f"{', '.join(check.stages)}; this is the plan of the first"
    if check.expected_virtual_epochs is not None and check.expected_seconds is not None:
        work = f"about {check.expected_virtual_epochs:,} virtual epochs"
        rows["work"] = f"{work}, about {duration(check.expected_seconds)} at this trial's speed"
    return rows


def plan_notes(check: Check) -> list[str]:
    """What a person should know of the plan."""
    audit = check.config.scheduler.audit
    if not 0 < audit < MIN_TRIALS:
        return [*check.priors]
    return [
        *check.priors,
        f"scheduler.audit is {audit}: no correlation can be told of fewer than {MIN_TRIALS} trials, so these "
        f"say little for what they cost; take {MIN_TRIALS} or more, or 0",
    ]


def _trials(check: Check) -> str:
    """How many trials there will be, as far as that is known."""
    if check.config.budget.trials is not None:
        return str(check.config.budget.trials)
    return (
        "as many as the budget buys" if check.expected_trials is None else f"about {check.expected_trials:,}"
    )
