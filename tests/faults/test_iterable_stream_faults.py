"""Training data without a length: each sample once in an epoch, exact resume, errors instead of hangs."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest
from iterable_data import Numbers

from trainables.data.iterable_stream import IterableStream


def stream_of(dataset, **options):
    return IterableStream(dataset, **{"batch_size": 4, "seed": 0, **options})


def drawn(stream, num_batches):
    """Samples and random numbers of the next batches, batch by batch."""
    return [[part.tolist() for part in stream.next_step(1)[0]] for _ in range(num_batches)]


def test_a_killed_worker_is_an_error_that_names_it():
    stream = stream_of(Numbers(400), num_workers=1)
    drawn(stream, 1)
    (worker,) = stream._drawn._iterator._workers
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=rf"worker \(pid\(?s?\)? ?{worker.pid}\)"):
        drawn(stream, 90)
    assert multiprocessing.active_children() == []
