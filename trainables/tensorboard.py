"""TensorBoard events of one trial: curves, pictures and what the HParams tab shows."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import image, scalar, text

Param = float | int | str | bool | None

_FILE_PREFIX = "events.out.tfevents."


class TensorBoardWriter:
    """An event file in the trial's folder, on an axis of optimizer steps; what is written is on disk at once.

    A trial has one file for each process that trained it, and TensorBoard reads them in the order of their
    names. So they are numbered: times have a resolution of one second and clocks differ, and a file read in
    the wrong order would purge what belongs after it.

    Args:
        folder: of the trial; its path below the logdir is the run's name in TensorBoard.
        start_step: TensorBoard drops what earlier processes wrote at this step or later, because it is
            computed again.
    """

    def __init__(self, folder: Path, start_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob(f"{_FILE_PREFIX}*")))
        name = f"{_FILE_PREFIX}{number:010d}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("wb")
        self._records = RecordWriter(self._file)
        self._write({"file_version": "brain.Event:2"})
        self._write({"step": start_step, "session_log": SessionLog(status=SessionLog.START)})

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write one number per tag; NaN and infinities as they are."""
        self._write(*({"step": step, "summary": scalar(tag, value)} for tag, value in values.items()))

    def images(self, images: Mapping[str, np.ndarray], step: int) -> None:
        """Write one image per tag: uint8 of shape [H, W, 3]."""
        drawn = {tag: image(tag, pixels, dataformats="HWC") for tag, pixels in images.items()}
        self._write(*({"step": step, "summary": summary} for summary in drawn.values()))

    def text(self, tag: str, content: str, step: int) -> None:
        """Write a note that the Text tab shows."""
        self._write({"step": step, "summary": text(tag, content)})

    def hparams(self, params: Mapping[str, Param], metric_tag: str) -> None:
        """Write the trial's parameters at its start: the HParams tab shows it from then on.

        The tab has a column for each name and one for the last value of `metric_tag`. It takes the columns
        for all trials of a folder from any one of them, so each must name every parameter of the search.

        Args:
            params: every searched parameter; None, an empty cell, where this trial does not have it.
            metric_tag: tag of a scalar.
        """
        self._write({"summary": _columns(params, metric_tag)}, {"summary": _session_start(params)})

    def close(self) -> None:
        """Close the file; nothing can be written afterwards."""
        self._file.close()

    def _write(self, *events: Mapping[str, Any]) -> None:
        for event in events:
            self._records.write(Event(wall_time=time.time(), **event).SerializeToString())
        self._file.flush()


def _columns(params: Mapping[str, Param], metric_tag: str) -> Any:
    """Summary with the HParams experiment: names and types, no values."""
    experiment = api_pb2.Experiment(
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=api_pb2.DataType.Value(_data_type(value)))
            for name, value in params.items()
        ],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=metric_tag))],
    )
    content = plugin_data_pb2.HParamsPluginData(experiment=experiment)
    value = Summary.Value(
        tag=metadata.EXPERIMENT_TAG,
        metadata=metadata.create_summary_metadata(content),
        tensor=metadata.NULL_TENSOR,
    )
    return Summary(value=[value])


def _session_start(params: Mapping[str, Param]) -> Any:
    """Summary with the values; an empty trial id keeps trials with equal values apart."""
    given = {name: value for name, value in params.items() if value is not None}
    return summary_v2.hparams_pb(given, trial_id="")


def _data_type(value: Param) -> str:
    if value is None:
        return "DATA_TYPE_UNSET"
    if isinstance(value, bool):
        return "DATA_TYPE_BOOL"
    return "DATA_TYPE_STRING" if isinstance(value, str) else "DATA_TYPE_FLOAT64"
