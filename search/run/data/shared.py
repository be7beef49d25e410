"""The data of a search, decoded once for all its trials."""

from __future__ import annotations

from collections.abc import Mapping

from search.config.config import Config
from search.run.data.errors import data_errors
from search.run.disk.folder import RunFolder
from trainables.build import load_arrays
from trainables.data.notes import heard_notes
from trainables.data.prepared import data_key, prepared_file
from trainables.files import discard_all, list_partial
from trainables.task import Arrays


def load_shared_data(
    config: Config, folder: RunFolder, loaded: Mapping[str, Arrays], notes: list[str]
) -> dict[str, Arrays]:
    """Decode the data once for all trials, unless their `data` sections differ.

    Args:
        loaded: what has been decoded already.
        notes: gets what the data say of themselves.
    """
    with heard_notes() as of_data:
        shared = _load_shared_data(config, folder, loaded)
    notes += of_data
    return shared


def _load_shared_data(config: Config, folder: RunFolder, loaded: Mapping[str, Arrays]) -> dict[str, Arrays]:
    task_class = config.task_class()
    first = next(iter(config.space.candidates()))
    discard_all(list_partial(folder.prepared))
    if any(name == "data" or name.startswith("data.") for name in config.space.names):
        return {}
    file = prepared_file(folder.prepared, config.task_path, first.options)
    with data_errors(config.task_path, config.file, config.places):
        options = task_class.Options.parse(first.options)
        key = data_key(config.task_path, first.options)
        return {key: load_arrays(task_class, options, file, loaded.get(key))}
