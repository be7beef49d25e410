"""How a task calls its model: which tensors go in, under which names, and what comes out."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search.errors import RefusedError
from trainables.data.batches import like, to_device
from trainables.findings import a_type
from trainables.training.trainer import Trainer

INSTEAD = "leave out --format to export the weights alone"
"""What is always possible."""
Tensors = Sequence[Tensor]


class NoPartError(RefusedError, AttributeError):
    """A task asks a stand-in for a part of the model; also what `hasattr` understands."""


class StandIn(nn.Module):
    """Called in the place of a model, and computes what `run` says.

    Nothing of the model is in it: a task that uses a part of it would be validated with that part.
    """

    def __init__(self, run: Callable[[tuple[Any, ...], Mapping[str, Any]], Any]) -> None:
        super().__init__()
        self._run = run

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(args, kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            raise NoPartError(
                f"the task uses {name!r} of its model besides calling it, which a graph does not have: call "
                f"the model alone in forward(), or {INSTEAD}"
            ) from None


@dataclass(frozen=True)
class Call:
    """A call of a model in a validation, as example for others of the same form."""

    model: nn.Module
    """A copy on the CPU, for evaluation."""
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    names: tuple[str, ...]
    """Of the tensors among args and kwargs, in this order: the names of the model's parameters."""
    outputs: Any
    """What the call returned."""
    output_names: tuple[str, ...]
    free: Mapping[int, str]
    """See `Task.free_dimensions`."""
    input_values: str
    output_values: str
    """What the first input and the first output are; empty where the task does not say."""

    @property
    def tensors(self) -> list[Tensor]:
        return list(_tensors((*self.args, *self.kwargs.values())))

    def with_tensors(self, tensors: Tensors) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """args and kwargs with these tensors in the place of its own."""
        given = iter(tensors)
        args = tuple(next(given) if isinstance(value, Tensor) else value for value in self.args)
        return args, {
            key: next(given) if isinstance(value, Tensor) else value for key, value in self.kwargs.items()
        }

    def tensors_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
        """The tensors of another call.

        Raises:
            RefusedError: it has another form, or other values that are no tensors.
        """
        same_form = len(args) == len(self.args) and list(kwargs) == list(self.kwargs)
        pairs = zip((*args, *kwargs.values()), (*self.args, *self.kwargs.values()), strict=False)
        if not same_form or any(
            isinstance(one, Tensor) != isinstance(other, Tensor)
            or (not isinstance(one, Tensor) and one != other)
            for one, other in pairs
        ):
            raise RefusedError(
                "the task calls its model in more than one way, and a graph is one of them: pass the same "
                f"arguments in each call, or {INSTEAD}"
            )
        return list(_tensors((*args, *kwargs.values())))

    def rebuilt(self, outputs: Tensors) -> Any:
        """What the model returns, made of these tensors."""
        if isinstance(self.outputs, Tensor):
            return outputs[0]
        if isinstance(self.outputs, Mapping):
            parts = dict(zip(self.outputs, outputs, strict=True))
            return parts if type(self.outputs) is dict else type(self.outputs)(parts)  # type: ignore[call-arg]
        return like(self.outputs, list(outputs))


def output_tensors(outputs: Any) -> list[Tensor]:
    """The tensors that a model has returned.

    Raises:
        RefusedError: it has returned something else too.
    """
    if isinstance(outputs, Tensor):
        return [outputs]
    parts = list(outputs.values()) if isinstance(outputs, Mapping) else outputs
    if isinstance(parts, list | tuple) and parts and all(isinstance(part, Tensor) for part in parts):
        return list(parts)
    held = ""
    if isinstance(parts, list | tuple):
        held = f" of {', '.join(a_type(part) for part in parts)}"
    raise RefusedError(
        f"the model returns {a_type(outputs)}{held}; a graph returns a tensor, or a tuple or mapping of "
        f"them: return these, or {INSTEAD}"
    )


def recorded(trainer: Trainer) -> Call:
    """How the task calls its model for the first samples of the validation data.

    Raises:
        RefusedError: it does not call it, or with something that no graph takes.
    """
    calls: list[tuple[tuple[Any, ...], Mapping[str, Any]]] = []
    model = copy.deepcopy(trainer.evaluated_model).cpu().eval()

    def record(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        calls.append((args, kwargs))
        return trainer.evaluated_model(*args, **kwargs)

    trainer.evaluated_model.eval()
    count = min(2, trainer.valid_batch_size, len(trainer.valid_source))
    batch = trainer.valid_source.batch(np.arange(count), None)
    batch = to_device(batch, trainer.device, trainer.channels_last)
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        trainer.task.infer(StandIn(record).eval(), batch)
    if not calls:
        raise RefusedError(f"the task has not called its model; call it in forward(), or {INSTEAD}")
    args, kwargs = tuple(map(_on_cpu, calls[0][0])), {k: _on_cpu(v) for k, v in calls[0][1].items()}
    with torch.no_grad():
        outputs = model(*args, **kwargs)
    names = tuple(_names(model, args, kwargs))
    return Call(
        model,
        args,
        kwargs,
        names,
        outputs,
        tuple(_output_names(outputs, trainer.task.output_name, names)),
        trainer.task.free_dimensions,
        trainer.task.input_values,
        trainer.task.output_values,
    )


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().contiguous().clone()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise RefusedError(
        f"the task calls its model with {a_type(value)}; the inputs of a graph are tensors: pass its tensors "
        f"one by one, or {INSTEAD}"
    )


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    return (value for value in values if isinstance(value, Tensor))


def _names(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[str]:
    """The parameter of each tensor; of those in `*args` with a number."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    several = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "input")
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for place, value in enumerate(args):
        if isinstance(value, Tensor):
            yield plain[place] if place < len(plain) else f"{several}_{place - len(plain)}"
    yield from (key for key, value in kwargs.items() if isinstance(value, Tensor))


def _output_names(outputs: Any, name: str, taken: Sequence[str]) -> Iterator[str]:
    """The keys of a mapping, else `name`, with a number where there are several; none of those taken."""
    number = len(output_tensors(outputs))
    numbered = [name] if number == 1 else [f"{name}_{place}" for place in range(number)]
    for each in map(str, outputs) if isinstance(outputs, Mapping) else numbered:
        yield f"{each}_output" if each in taken else each
