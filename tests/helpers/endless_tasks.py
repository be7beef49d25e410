"""Tasks whose samples are never read to an end, for Ctrl-C to come in between."""

from __future__ import annotations

import signal
import threading

from tiny_tasks import DigitsTask

from trainables.inspect.inspection import Contents, Inspection, SampleName
from trainables.options import TrialOptions


class EndlessTask(DigitsTask):
    """Its samples are never read to an end."""

    @classmethod
    def inspect(cls, options: TrialOptions) -> Inspection:
        return EndlessInspection()


class EndlessInspection(Inspection):
    samples = [SampleName("train", f"sample {number}") for number in range(9)]  # noqa: RUF012
    num_threads = 2

    def look(self, number: int) -> Contents:
        print(f"sample {number} has begun", flush=True)
        threading.Event().wait()
        return Contents()


class InterruptedTask(DigitsTask):
    """Ctrl-C comes to a thread that reads, and does not wake the main thread up."""

    @classmethod
    def inspect(cls, options: TrialOptions) -> Inspection:
        return InterruptedInspection()


class InterruptedInspection(EndlessInspection):
    def look(self, number: int) -> Contents:
        if number == 1:
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return super().look(number)
