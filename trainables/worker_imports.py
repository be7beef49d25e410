"""Everything that the process of a trial imports. Ray's workers import this before there is a trial."""

from __future__ import annotations

import gc

from trainables.process.quick_imports import gc_disabled

with gc_disabled():
    import torch

    import trainables.trainable

# What is imported stays; no collection needs to look at it again.
gc.freeze()

__all__ = ["torch", "trainables"]
