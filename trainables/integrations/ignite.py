"""An engine of pytorch-ignite as the loop of a training function.

>>> trial.track(model=model, optimizer=optimizer)
>>> engine = create_supervised_trainer(model, optimizer, loss)
>>> run(trial, engine, loader, lambda: evaluator.run(valid).metrics)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ignite.engine import Engine, Events

from trainables.data.loader_stream import known_length
from trainables.function.suspended import TrialEnded
from trainables.function.trial import Trial


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
    `evaluate` returns is reported. A trial that is paused leaves by `terminate(skip_completed=True)`; where
    it continues STARTED is fired, and EPOCH_STARTED only if an epoch begins.

    Args:
        trial: has tracked model and optimizer; the engine is tracked here, with handlers that have states.
        engine: trains; all its handlers are attached.
        loader: not yet drawn from.
        evaluate: the metrics, as of `evaluator.run(valid_loader).metrics`.
        per_step: iterations of one optimizer step, where gradients are accumulated.
    """
    batches = trial.batches(loader, per_step=per_step)
    length = known_length(loader) or trial.lengths.end_step(1) * per_step
    states = _States(engine)
    trial.track(engine=states)
    trial.evaluated_by(evaluate)
    reports = _Reports(trial, per_step)
    engine.add_event_handler(Events.STARTED, states.restore)
    engine.add_event_handler(Events.STARTED, reports.begin)
    engine.add_event_handler(Events.ITERATION_COMPLETED, reports.count)
    for event in (Events.EPOCH_COMPLETED, Events.GET_BATCH_STARTED, Events.TERMINATE):
        engine.add_event_handler(event, reports.report)
    engine.run(batches, max_iters=trial.num_steps * per_step, epoch_length=length)
    if reports.ended is not None:
        raise reports.ended


class _Reports:
    """Handlers that count optimizer steps, and report before the batch that follows a virtual epoch.

    A trial that ends here terminates the engine, which would tell its own handlers of an exception.
    """

    def __init__(self, trial: Trial, per_step: int) -> None:
        self._trial, self._per_step = trial, per_step
        self._steps = trial.steps()
        self._due = False
        self.ended: TrialEnded | None = None

    def begin(self, engine: Engine) -> None:
        with self._leaving(engine):
            next(self._steps, None)

    def count(self, engine: Engine) -> None:
        if engine.state.iteration % self._per_step == 0:
            self._due = self._trial.is_due
            if not self._due:
                with self._leaving(engine):
                    next(self._steps)

    def report(self, engine: Engine) -> None:
        if self._due:
            self._due = False
            with self._leaving(engine):
                self._trial.report()
                next(self._steps, None)

    @contextmanager
    def _leaving(self, engine: Engine) -> Iterator[None]:
        try:
            yield
        except TrialEnded as ended:
            self.ended = ended
            engine.terminate(skip_completed=True)


class _States:
    """The states of the engine and of what is attached to it, as one part of the trial."""

    def __init__(self, engine: Engine) -> None:
        self._parts = [engine, *_with_state(engine)]
        self._saved: Mapping[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        return {_name(i, part): part.state_dict() for i, part in enumerate(self._parts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As the engine needs it before it runs.

        Raises:
            ValueError: other handlers were attached when it was saved.
        """
        names = [_name(i, part) for i, part in enumerate(self._parts)]
        if names != list(state):
            raise ValueError(
                f"the engine has the handlers {', '.join(names[1:])}; when the trial was saved it had "
                f"{', '.join(list(state)[1:])}: attach the same ones in the same order"
            )
        self._saved = state
        self._load()

    def restore(self, engine: Engine) -> None:
        """At STARTED: again, as its handlers may have set things; an epoch that is running does not begin."""
        if self._saved is None:
            return
        self._load()
        self._saved = None
        if engine.state.iteration % engine.state.epoch_length:
            begins = engine._event_handlers.pop(Events.EPOCH_STARTED, [])

            def put_back() -> None:
                engine._event_handlers[Events.EPOCH_STARTED] = begins

            engine.add_event_handler(Events.EPOCH_STARTED, put_back)

    def _load(self) -> None:
        assert self._saved is not None
        for part, state in zip(self._parts, self._saved.values(), strict=True):
            part.load_state_dict(state)


def _with_state(engine: Engine) -> Iterator[Any]:
    """What is attached to the engine and has a state, in the order of the events and of its attachment."""
    seen = {id(engine)}
    for handlers in engine._event_handlers.values():
        for handler, *_ in handlers:
            # Of an event with a filter, it is wrapped.
            attached = handler._parent() if hasattr(handler, "_parent") else handler
            owner = getattr(attached, "__self__", attached)
            known = hasattr(owner, "state_dict") and hasattr(owner, "load_state_dict")
            if known and id(owner) not in seen:
                seen.add(id(owner))
                yield owner


def _name(number: int, part: Any) -> str:
    return f"{number} {type(part).__name__}"
