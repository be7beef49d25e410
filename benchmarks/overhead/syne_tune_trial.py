"""A trial of Syne Tune's local backend in run.py: a script of its own, as its documentation shows it."""

from __future__ import annotations

import argparse
from pathlib import Path

from syne_tune import Reporter

from benchmarks.overhead.work import PlainTrial

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--virtual_epochs", type=int)
    parser.add_argument("--st_checkpoint_dir", type=str, default=".")
    options, _ = parser.parse_known_args()
    trial, report = PlainTrial(options.seconds), Reporter()
    Path(options.st_checkpoint_dir).mkdir(parents=True, exist_ok=True)
    for number in range(options.virtual_epochs):
        loss = trial.virtual_epoch()
        trial.save(Path(options.st_checkpoint_dir) / "checkpoint.pt")
        report(epoch=number + 1, loss=loss)
