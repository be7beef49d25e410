"""What the data of a run were made of when it was last run, and whether they have changed since."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.budget.growth import limits_for_more
from search.config.config import Config
from search.config.stages import open_run
from search.errors import RefusedError
from search.run.data.errors import data_errors
from search.run.disk.folder import RunFolder
from search.run.disk.hints import another_search, going_on, overriding
from search.study.data import change_data, data_of
from search.study.reading import read_records
from search.study.spent import read_spent
from search.study.trial import TrialRecord
from search.text import counted, short_path
from trainables.build import load_raw
from trainables.data.difference import Difference, difference
from trainables.data.fingerprint import Fingerprint, of_contents, of_files
from trainables.data.prepared import data_key
from trainables.files import atomic_write
from trainables.findings import a_type
from trainables.options import TrialOptions
from trainables.task import Arrays, Task
from trainables.tensorboard import TensorBoardWriter

OPTION_FILES = "files that options name"
"""Of which trials may name others than those before."""
ARRAYS = "arrays that load_data returned"
_OF_DATA = " of data "
_MAX_FILES = 64
"""Of a folder that an option names."""


class DataChangedError(RefusedError):
    """The data are not those that a search was begun with."""


@dataclass(frozen=True)
class FoundData:
    """What the data of a configuration are made of now."""

    fingerprint: Fingerprint
    arrays: Mapping[str, Arrays] = field(default_factory=dict)
    """What had to be loaded for that, by `data_key`."""
    not_compared: str = ""
    """Why a change would not be noticed; empty if it would."""


def find_data(config: Config, *, load: bool) -> FoundData:
    """What the data of all trials of a configuration are made of, and the files that other options name.

    Args:
        load: load the data of a task that has no fingerprint.

    Raises:
        SearchError: the data cannot be found.
    """
    task_class = config.task_class()
    candidates = [resolved.options for resolved in config.space.candidates()]
    sections = {data_key(config.task_path, options): options for options in candidates}
    found, arrays, unknown = Fingerprint(), dict[str, Arrays](), False
    with data_errors(config.task_path, config.file, config.places):
        for key, options in sections.items():
            parsed = task_class.Options.parse(options)
            one = _given(task_class, parsed)
            if one is None and load and len(sections) == 1:
                arrays[key] = load_raw(task_class, parsed)
                one = of_contents(ARRAYS, arrays[key]) if arrays[key] else None
            unknown |= one is None
            label = "" if len(sections) == 1 else _label(options)
            found |= (one or Fingerprint()).renamed(label)
        found |= _option_files(candidates, with_data=unknown)
    reason = f"{config.task_path} has no data_fingerprint" if unknown else ""
    return FoundData(found, arrays, reason)


def _label(options: Mapping[str, Any]) -> str:
    """Of the data of these options, in a search over data."""
    return f"{_OF_DATA}{options.get('data', {})}"


def _given(task_class: type[Task], options: TrialOptions) -> Fingerprint | None:
    given = task_class.data_fingerprint(options)
    if isinstance(given, str):
        return of_contents("data", {"data_fingerprint": given})
    if given is None or isinstance(given, Fingerprint):
        return given
    raise TypeError(
        f"{task_class.__name__}.data_fingerprint() returned {a_type(given)}; must be what "
        "of_files of trainables.data.fingerprint gives, a text such as a version or hash, or None"
    )


def _option_files(candidates: Sequence[Mapping[str, Any]], *, with_data: bool) -> Fingerprint:
    """The contents of the files, and of those in folders, that options name, such as pretrained weights."""
    named: dict[str, Path] = {}
    for options in candidates:
        for key, value in options.items():
            if key != "data" or with_data:
                named |= {text: Path(os.path.expanduser(text)) for text in _texts(value)}
    # Unlike the methods of Path these answer for any text, however long.
    files = [path for path in named.values() if os.path.isfile(path)]
    for text, path in named.items():
        if "/" in text and os.path.isdir(path) and not with_data:
            inside = [file for file in sorted(path.iterdir()) if file.is_file()]
            files += inside if len(inside) <= _MAX_FILES else []
    return of_files({OPTION_FILES: files}, contents=True)


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and 0 < len(value) < 1000 and "\0" not in value else []


def compared(before: Fingerprint, now: Fingerprint) -> Difference:
    """How data differ from what they were; of a search over data, of those that are searched in both."""
    common = {_section(what) for what in before.things} & {_section(what) for what in now.things}
    both = [
        Fingerprint({what: named for what, named in one.things.items() if _section(what) in common})
        for one in (before, now)
    ]
    return difference(*both, ignoring=[OPTION_FILES])


def _section(what: str) -> str:
    """Which of the data that are searched over a thing belongs to; empty where there is only one."""
    return what if what in (OPTION_FILES, ARRAYS) else what.partition(_OF_DATA)[2]


def read_data(file: Path) -> Fingerprint | None:
    """What the file holds; None where there is nothing, or nothing that can be read."""
    try:
        return Fingerprint.from_bytes(file.read_bytes())
    except (OSError, ValueError):
        return None


def take_data(
    config: Config,
    folder: RunFolder,
    now: Fingerprint,
    *,
    accept: bool,
    note: Callable[[str], None],
    flags: Sequence[str] = (),
) -> str:
    """Compare the data with those that the run had last, and record them; returns what the study calls them.

    Args:
        folder: of the search, or of one of its stages.
        accept: go on with other data, those trials that there are being of other data from then on.
        note: called with each line that a person should read.
        flags: see `Executor.flags`.

    Raises:
        DataChangedError: they are others, and not accepted.
    """
    whole = RunFolder(folder.run_path)
    begun = [stage for stage in whole.stages() if stage.journal.is_file()]
    versions = next((known for stage in begun if (known := data_of(stage.journal))), [])
    before = read_data(whole.data) if begun else None
    found = None if before is None else compared(before, now)
    if begun and found is None:
        note("what the data were before is not recorded in this run; they are compared from now on")
    elif found and not accept:
        raise DataChangedError(_refusal(config, folder, whole, found, flags))
    if found:
        versions = [now.sha256]
        number = _set_apart(whole, begun, versions[0])
        note(f"the data have changed, and {counted(number, 'trial')} of before are of other data:")
        for line in found.lines():
            note(f"  {line}")
    elif found is not None and found.touched:
        note(found.touched)
    # Last: after a kill before this, the change is noticed again. A stage may have other data options.
    kept = _other_sections(before, now)
    atomic_write(whole.data, (kept | now).to_bytes())
    return versions[-1] if versions else now.sha256


def _other_sections(before: Fingerprint | None, now: Fingerprint) -> Fingerprint:
    """What was recorded of data that are not searched over now."""
    known, here = before.things if before else {}, {_section(what) for what in now.things}
    return Fingerprint({what: named for what, named in known.items() if _section(what) not in here})


def _refusal(
    config: Config, folder: RunFolder, whole: RunFolder, found: Difference, flags: Sequence[str]
) -> str:
    records = read_records(folder.journal) if folder.journal.is_file() else []
    wanted = config.budget.trials
    more = [] if wanted is None else ["--trials", str(wanted + len(records) * (len(records) >= wanted))]
    if folder.journal.is_file():
        more += limits_for_more(read_spent(folder.journal), config)
    source = (config.file or whole.config).absolute()
    is_own = source.resolve() == whole.config.resolve()
    is_same = is_own or (whole.config.is_file() and open_run(whole.config).raw == config.raw)
    other: list[str | Path] = [] if is_same or whole.is_staged else ["--config", source]
    other += overriding(config) if other else []
    options = ("--accept-new-data", *other, *(() if whole.is_staged else more))
    lines = "\n".join(f"  {line}" for line in found.lines())
    return (
        f"{short_path(whole.path)}: the data have changed since this search was last run:\n{lines}\n"
        "values on other data do not compare: put back the data as they were, or go on with new trials on "
        f"these, the {len(records)} so far being set apart, by\n  "
        f"{going_on(whole, *options, flags=flags)}\n"
        f"or begin another search by\n  {another_search(config, source, whole, flags)}"
    )


def _set_apart(whole: RunFolder, begun: list[RunFolder], data: str) -> int:
    """Make the trials so far those of other data; returns their number."""
    before, former, number = read_data(whole.data), "", 0
    for stage in begun:
        records = read_records(stage.journal)
        number += sum(bool(record.values) for record in records)
        former = (data_of(stage.journal) or [former])[-1]
        for file in stage.prepared.glob("*.safetensors"):
            aside = former_prepared(stage, former)
            aside.mkdir(exist_ok=True)
            file.replace(aside / file.name)
        change_data(stage.journal, data)
        for record in records:
            trial = stage.trial(record.number)
            if record.values and trial.is_dir() and not record.of_other_data:
                writer = TensorBoardWriter(trial, start_step=record.steps + 1)
                writer.text("data", "of other data: they have changed since this trial", record.steps)
                writer.close()
    if before is not None:
        atomic_write(former_data(whole, former), before.to_bytes())
    return number


def former_data(whole: RunFolder, data: str) -> Path:
    """Where the fingerprint of earlier data is kept, by what the study calls them."""
    return whole.data.with_name(f"{whole.data.name}.{data[:12]}")


def former_prepared(folder: RunFolder, data: str) -> Path:
    """The folder of what the task prepared for earlier data."""
    return folder.prepared / data[:12]


@dataclass(frozen=True)
class TrialData:
    """What a trial was trained on, as far as that is known."""

    prepared: Path
    """The folder of what the task prepared for it."""
    fingerprint: Fingerprint | None
    arrays: Mapping[str, Arrays] = field(default_factory=dict)
    """What was loaded meanwhile, by `data_key`."""
    other: tuple[str, ...] = ()
    """How the data of now differ from it, in lines; empty where they do not."""


def data_for(
    config: Config, folder: RunFolder, record: TrialRecord, found: FoundData | None = None
) -> TrialData:
    """What a trial of a search was trained on.

    Args:
        found: what the data are now, where that is known (default: it is looked for).
    """
    whole, found = RunFolder(folder.run_path), found or find_data(config, load=True)
    file, prepared = whole.data, folder.prepared
    if record.of_other_data:
        version = data_of(folder.journal)[record.data_number]
        file, prepared = former_data(whole, version), former_prepared(folder, version)
    before = read_data(file)
    if before is None:
        unknown = ("those before are not recorded",)
        return TrialData(prepared, None, found.arrays, unknown if record.of_other_data else ())
    other = tuple(compared(before, found.fingerprint).lines())
    return TrialData(prepared, _of_one(before, _label(record.resolved.options)), found.arrays, other)


def _of_one(data: Fingerprint, label: str) -> Fingerprint:
    """Of all data that a search is over those with this label, named as if there were no others."""
    own = {
        what.removesuffix(label): named
        for what, named in data.things.items()
        if what.endswith(label) or not _section(what)
    }
    return Fingerprint(own)
