"""`priors:`: has them taken from a former run or a recipe, or from the search itself if it has begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from search.addresses import local_path
from search.config.document import read_document
from search.config.given_priors import Source, with_priors, with_recorded
from search.config.schema import Mode, Pbt
from search.config.sections.priors import Priors
from search.config.sections.recipes import RECIPES
from search.config.stages import SearchConfig, open_run, read_search
from search.errors import ConfigError, Problem, RefusedError
from search.run.before.kept_priors import as_kept, keep_priors, kept_priors, option_text
from search.run.confirm import read_confirmed
from search.run.disk.folder import RunFolder
from search.run.disk.hints import going_on
from search.study.reading import read_records
from search.study.trial import Outcome, TrialRecord, best_record
from search.text import number_text, short_path


def resolved_priors(
    search: SearchConfig, folder: RunFolder | None, note: Callable[[str], None]
) -> SearchConfig:
    """The configuration with priors beside its domains in the place of `priors:`.

    In a folder where a search has begun they are those that its config.yaml has, so that it goes on with them
    whatever has become of the former run.

    Args:
        search: with a number for each batch size.
        folder: of the search, if it has one; nothing is written there.
        note: is given what is taken, and what is not and why, in lines.

    Raises:
        ConfigError: there is no former run, or no trial in it has a value; or the search has begun with
            other priors, or without.
        SearchError: the study of the former run is damaged.
    """
    asked = search.priors
    if asked is None:
        return search
    if folder is not None and folder.has_begun:
        _refuse_others(search, asked, folder)
        document, other = with_recorded(search.document, read_document(folder.config).tree)
        unknown = f"; without one, as the domain was another then: {', '.join(other)}" if other else ""
        note(f"priors are those with which this search began{unknown}")
    else:
        document, lines = with_priors(search.document, list(_sources(search, asked)))
        for line in lines:
            note(line)
    return replace(read_search(document), named_by_file=search.named_by_file)


def take_priors(search: SearchConfig, folder: RunFolder, note: Callable[[str], None]) -> SearchConfig:
    """`resolved_priors` of a search that runs; where they are from is kept in its folder when it begins."""
    found = resolved_priors(search, folder, note)
    if not folder.has_begun:
        keep_priors(search.priors, folder)
    return found


def _refuse_others(search: SearchConfig, asked: Priors, folder: RunFolder) -> None:
    """Raise ConfigError unless the search began with these: its trials so far are not from others."""
    kept, now = kept_priors(folder), as_kept(asked, folder)
    if kept == now:
        return
    began = "without any" if kept is None else f"with {option_text(kept, folder)}"
    way_out = f"`{going_on(folder)}` goes on as it is, and another search takes another --name"
    message = f"received {option_text(now, folder)}; this search has begun {began} and takes no others later"
    at = ("priors",) if asked.from_run is None else ("priors", "from_run")
    raise ConfigError(search.document.located([Problem.of(at, f"{message}; {way_out}")]))


def _sources(search: SearchConfig, asked: Priors) -> Iterator[Source]:
    if asked.from_run is not None:
        try:
            yield _of_run(RunFolder(local_path(asked.from_run).expanduser().absolute()), asked)
        except ConfigError:
            raise
        except RefusedError as error:
            message = f"received {asked.from_run}; {error}"
            problem = Problem.of(("priors", "from_run"), message)
            raise ConfigError(search.document.located([problem])) from None
    if asked.recipe is not None:
        parts = RECIPES[asked.recipe].parts(search.document.tree)
        own = asked.confidence
        yield Source(f"the recipe {asked.recipe}", [(options, own or sure) for options, sure in parts])


def _of_run(run: RunFolder, asked: Priors) -> Source:
    """The winner of the race of a run, or else its best trial of full length, or else its best trial."""
    if not run.path.exists():
        raise RefusedError("there is no such folder; give that of a run, such as results/seg")
    run.require()
    stages = run.stages()
    race = read_confirmed(run)
    for stage in reversed(stages):
        config = open_run(stage.config).first
        records, mode = read_records(stage.journal), config.objective.mode
        record, which = _best(
            records, mode, race.winner if race is not None and stage is stages[-1] else None
        )
        if record is None:
            continue
        at = record.best_virtual_epoch(mode)
        value = f"{config.objective.metric} {number_text(record.value(mode))}"
        if isinstance(config.scheduler, Pbt):
            which += f", with its values in virtual epoch {at}"
        name = f"{short_path(stage.path)}, trial {record.number} ({value}, {which})"
        return Source(name, [(record.options_at(at), asked.confidence or "medium")])
    raise RefusedError("no trial in it has a value; take another run, or leave it out")


def _best(records: Sequence[TrialRecord], mode: Mode, winner: int | None) -> tuple[TrialRecord | None, str]:
    """The trial whose values are taken, and why this one."""
    raced = next((record for record in records if record.number == winner and record.values), None)
    if raced is not None:
        return raced, "the winner of its race over seeds"
    full = best_record([record for record in records if record.outcome is Outcome.COMPLETED], mode)
    if full is not None:
        return full, "the best of full length"
    return best_record(records, mode), "the best so far, as none has reached full length"
