"""The sign of life of a rank: a number in the store of rank 0 that a thread counts up."""

from __future__ import annotations

import threading

from torch import distributed as dist

from trainables.ranks.join import TCPStore, find_store
from trainables.ranks.team import BEAT

BEAT_SECONDS = 1.0


def start_beating(address: str, port: int, size: int, rank: int) -> None:
    """Count up until the process ends, or the store is gone with rank 0."""
    store = find_store(address, port, size)  # its own: one connection serves one call at a time
    threading.Thread(target=_beat, args=(store, f"{BEAT}{rank}"), name="beat", daemon=True).start()


def _beat(store: TCPStore, key: str) -> None:
    waiting = threading.Event()
    try:
        while True:
            store.add(key, 1)
            waiting.wait(BEAT_SECONDS)
    except dist.DistError:
        return
