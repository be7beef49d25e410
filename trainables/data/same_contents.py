"""Whether two processes have read the same: a digest of what a sample or batch holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def digest(value: Any) -> str:
    """Equal for equal tensors, arrays, numbers and texts, and lists and mappings of them."""
    return hashlib.sha256(repr(_contents(value)).encode("utf-8", "surrogatepass")).hexdigest()


def _contents(value: Any) -> Any:
    """Something whose repr is equal in two processes where the values are."""
    if isinstance(value, torch.Tensor):
        # Copied, as a tensor of one value may have a stride that `view` refuses.
        flat = value.detach().cpu().clone(memory_format=torch.contiguous_format).view(-1)
        return str(value.dtype), tuple(value.shape), _contents(flat.view(torch.uint8).numpy())
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return str(value.dtype), value.shape, hashlib.sha256(np.ascontiguousarray(value).data).digest()
    if isinstance(value, Mapping):
        return [(repr(key), _contents(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [_contents(each) for each in value]
    return value
