"""Errors in the user's data, as one line with the way to all of them."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from search.config.tasks import BUILT_IN
from search.errors import SearchError
from search.text import command
from trainables.data.prepared import DamagedArraysError
from trainables.findings import SampleError
from trainables.process.causes import advice, exit_text, shortened, with_advice

_OPTION = re.compile(r"\b(data|model|loss|metrics|augment)\.(?!max_skipped)\w+|correct the path")
"""What a message names whose problem is an option of a trial, and no sample."""
_NAMED = re.compile(r"\b(data|model|loss|metrics|augment|optimizer|freeze)\.\w+|\bfreeze\b")
_IMPORTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*[ (]")
"""How a message begins that is about what a configuration imports, such as a metric: no sample is wrong."""
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def data_errors(
    task_path: str, config_file: Path | None = None, places: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Around what loads data: raise SearchError for what is wrong with them, without the name of a class.

    A built-in task raises a ValueError for wrong data and wrong options, which says all that is known. What
    a task of the user's own raises may be a mistake in its code, so it keeps its traceback.

    Args:
        task_path: `package.module:Class`.
        config_file: the configuration of the data, if `check --data` can help.
        places: where the options of a trial stand, for messages that name one.
    """
    try:
        yield
    except DamagedArraysError as error:
        raise SearchError(str(error)) from error
    except SystemExit as error:  # it is no wish of a person's to leave the program
        raise SearchError(with_advice(f"SystemExit: {exit_text(error)}", error, "")) from error
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if task_path not in BUILT_IN.values() or _is_of_the_disk(error):
            raise
        text = _text(error)
        where = _place(text, error, places or {})
        raise SearchError(text + _way_out(error, config_file) + where) from error


def _is_of_the_disk(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _OF_THE_DISK


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: cannot be read: {error.strerror}"
    return shortened(str(error))


def _place(text: str, error: Exception, places: Mapping[str, str]) -> str:
    """File and line of the option that a message names; empty where samples are wrong."""
    if isinstance(error, SampleError) or "\n" in text:
        return ""
    names = [found[0] for found in _NAMED.finditer(text)] + ["data.path"] * ("correct the path" in text)
    known = [name if name in places else name.partition(".")[0] for name in names]
    where = next((places[name] for name in known if name in places), "")
    return f" ({where})" if where else ""


def _way_out(error: Exception, config_file: Path | None) -> str:
    """The command that lists all problems; nothing where the message says which option to correct."""
    if change := advice(str(error)):
        return f"; {change}"
    of_samples = isinstance(error, SampleError) or "\n" in str(error)
    is_of_option = not of_samples and _OPTION.search(str(error)) is not None
    is_of_option |= _IMPORTED.match(str(error)) is not None
    if config_file is None or is_of_option or isinstance(error, ModuleNotFoundError):
        return ""
    joined = "\n" if "\n" in str(error) else "; "
    return f"{joined}`{command('check', config_file, '--data')}` lists all problems of the data"
