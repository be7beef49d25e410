"""The outputs of a network that somebody else wrote, as the tensor that a task asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from trainables.findings import a_type

_STRIDES = (2, 4, 8, 16, 32)


def as_output(outputs: Any, shape: Sequence[int]) -> Tensor:
    """The tensor of this shape in the outputs.

    Understood are a tensor, a mapping with `out` or `logits` (as torchvision and transformers return), an
    object with the attribute `logits`, and the first item of a tuple or list (auxiliary outputs follow).
    Logits [N, K, h, w] whose sides are the image's divided by 2, 4, 8, 16 or 32 are resized bilinearly.

    Raises:
        ValueError: there is no tensor, or it has another shape.
    """
    found = _tensor(outputs)
    if found is None:
        raise ValueError(
            f"the model returned {_kind(outputs)}; must be a tensor {_shown(shape)}, a mapping with 'out' or "
            "'logits', an object with .logits, or a tuple that begins with the tensor: correct model.name"
        )
    if tuple(found.shape) == tuple(shape):
        return found
    if _is_smaller(found.shape, shape):
        return F.interpolate(found, size=tuple(shape[2:]), mode="bilinear", align_corners=False)
    raise ValueError(
        f"the model returned {_shown(found.shape)}; must be {_shown(shape)}, {_rule(shape)}: correct "
        "model.name, or the arguments beside it"
    )


def _tensor(outputs: Any) -> Tensor | None:
    if isinstance(outputs, Mapping):
        outputs = next((outputs[key] for key in ("out", "logits") if key in outputs), None)
    elif hasattr(outputs, "logits"):
        outputs = outputs.logits
    elif isinstance(outputs, tuple | list) and outputs:
        outputs = outputs[0]
    return outputs if isinstance(outputs, Tensor) else None


def _is_smaller(found: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether all is reduced by one factor; of a border that is cut off the rest must not be stretched."""
    if len(found) != len(shape) or len(shape) <= 2 or tuple(found[:2]) != tuple(shape[:2]):
        return False
    sides = tuple(found[2:])
    down = (tuple(side // stride for side in shape[2:]) for stride in _STRIDES)
    up = (tuple(-(-side // stride) for side in shape[2:]) for stride in _STRIDES)
    return sides in (*down, *up)


def _kind(outputs: Any) -> str:
    if isinstance(outputs, Mapping):
        return f"a mapping with {', '.join(map(repr, outputs)) or 'nothing'}"
    return a_type(outputs)


def _rule(shape: Sequence[int]) -> str:
    what = "samples, 1" if len(shape) == 2 and shape[1] == 1 else "samples, classes"
    return f"[{what}, height, width]" if len(shape) > 2 else f"[{what}]"


def _shown(shape: Sequence[int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
