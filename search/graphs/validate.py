"""The trainer's validation, with the outputs of a graph in the place of the model's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.errors import SearchError
from search.graphs.call import INSTEAD, Call, StandIn
from search.graphs.capture import Graph, error_line
from search.graphs.loaded import Loaded
from trainables.training.trainer import Trainer


def validate(trainer: Trainer, call: Call, graph: Graph, loaded: Loaded) -> dict[str, float]:
    """The metrics of `Trainer.validate`, of the graph.

    Raises:
        SearchError: the graph does not take a batch, or the task calls its model otherwise.
    """

    def run(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        tensors = call.tensors_of(args, kwargs)
        inputs = graph.inputs([tensor.detach().cpu().contiguous() for tensor in tensors])
        try:
            outputs = loaded.run(inputs)
        except Exception as error:
            shape = list(inputs[0].shape)
            raise SearchError(
                f"{loaded.runtime} does not compute the graph for a validation batch {shape} "
                f"({error_line(error)}); nothing was exported. Are inputs of several sizes, and the model is "
                f"for one? Then {INSTEAD}"
            ) from error
        if graph.preprocessing is not None:
            outputs[0] = graph.preprocessing.unfinished(outputs[0])
        return call.rebuilt([output.to(tensors[0].device) for output in outputs])

    return trainer.validate(StandIn(run))
