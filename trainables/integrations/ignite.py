"""An engine of pytorch-ignite as the loop of a training function.

>>> trial.track(model=model, optimizer=optimizer)
>>> engine = create_supervised_trainer(model, optimizer, loss)
>>> run(trial, engine, loader, lambda: evaluator.run(valid).metrics)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ignite.engine import Engine, Events

from trainables.data.loader_stream import known_length
from trainables.function.suspended import TrialEnded
from trainables.function.trial import Trial

NOTE = (
    "where a trial continues inside an epoch, the engine of pytorch-ignite fires EPOCH_STARTED once more, so "
    "metrics that are attached to it count from there; all else goes on as if there had been no pause"
)


def run(
    trial: Trial,
    engine: Engine,
    loader: Iterable[Any],
    evaluate: Callable[[], Mapping[str, Any]],
    *,
    per_step: int = 1,
) -> None:
    """Run the engine to the trial's full length, in place of `engine.run(loader, …)`.

    An epoch of the engine is one of the loader, or a virtual epoch where the loader's length is unknown. At
    the end of each virtual epoch, after all handlers of its last iteration and before the next batch, what
    `evaluate` returns is reported. A trial that is paused leaves by `terminate(skip_completed=True)`.

    Args:
        trial: has tracked model and optimizer. The engine is tracked here, and so are its handlers with a
            state.
        engine: trains; all its handlers are attached.
        loader: not yet drawn from.
        evaluate: the metrics, as of `evaluator.run(valid_loader).metrics`.
        per_step: iterations of one optimizer step, where gradients are accumulated.
    """
    batches = trial.batches(loader, per_step=per_step)
    handlers = {f"engine_{i}": handler for i, handler in enumerate(_with_state(engine))}
    trial.track(engine=engine, **handlers)
    trial.notes.append(NOTE)
    trial.evaluated_by(evaluate)
    reports = _Reports(trial, per_step)
    engine.add_event_handler(Events.STARTED, reports.begin)
    engine.add_event_handler(Events.ITERATION_COMPLETED, reports.count)
    for event in (Events.EPOCH_COMPLETED, Events.GET_BATCH_STARTED, Events.TERMINATE):
        engine.add_event_handler(event, reports.report)
    length = known_length(loader) or trial.lengths.end_step(1) * per_step
    engine.run(batches, max_iters=trial.num_steps * per_step, epoch_length=length)
    if reports.ended is not None:
        raise reports.ended


class _Reports:
    """Handlers that count optimizer steps, and report before the batch that follows a virtual epoch."""

    def __init__(self, trial: Trial, per_step: int) -> None:
        self._trial, self._per_step = trial, per_step
        self._steps = trial.steps()
        self._due = False
        self.ended: TrialEnded | None = None
        """How the trial has left a report; an engine would tell its handlers of an exception."""

    def begin(self, engine: Engine) -> None:
        next(self._steps, None)

    def count(self, engine: Engine) -> None:
        if engine.state.iteration % self._per_step == 0:
            self._due = self._trial.is_due
            if not self._due:
                next(self._steps)

    def report(self, engine: Engine) -> None:
        if not self._due:
            return
        self._due = False
        try:
            self._trial.report()
        except TrialEnded as ended:
            self.ended = ended
            engine.terminate(skip_completed=True)
        else:
            next(self._steps, None)


def _with_state(engine: Engine) -> Iterator[Any]:
    """What is attached to the engine and has a state, in the order in which it was attached."""
    seen = {id(engine)}
    for handlers in engine._event_handlers.values():
        for handler, *_ in handlers:
            owner = getattr(handler, "__self__", handler)
            known = hasattr(owner, "state_dict") and hasattr(owner, "load_state_dict")
            if known and id(owner) not in seen:
                seen.add(id(owner))
                yield owner
