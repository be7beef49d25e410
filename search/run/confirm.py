"""Runs the race of a search's best trials over seeds, in a folder of its own inside the run's."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.config import schema
from search.config.combinations import OF_A_POPULATION
from search.config.config import Config
from search.config.schema import Budget, Confirm, Mode, Sampler
from search.config.stages import open_run
from search.config.tasks import BUILT_IN
from search.errors import RefusedError, SearchError
from search.mirror.mirror import Mirror
from search.race.confirmed import Confirmed, confirmed_by
from search.race.plan import SEED, RacePlan, plan_race, read_plan
from search.race.race import Race
from search.race.split import other_validation
from search.run.coordinator import Coordinator
from search.run.data.errors import data_errors
from search.run.data.record import find_data, take_data
from search.run.data.shared import load_shared_data
from search.run.disk.folder import RunFolder
from search.run.disk.lost_runs import without_lost_runs
from search.run.disk.storage import live_trials
from search.run.events import EventKind
from search.run.executor import Executor, Jobs
from search.run.outcome.summary import RACE, Summary
from search.run.reporter import ProgressReporter
from search.run.stage import owned, run_jobs
from search.schedulers.base import NoScheduler
from search.space.space import Space
from search.study.reading import read_records
from search.study.study import SearchStudy
from search.study.trial import NO_VERDICT, TrialRecord
from trainables.checkpoints.checkpoint import checkpoint_folder, list_checkpoints
from trainables.data.prepared import data_key
from trainables.files import atomic_file, discard_all
from trainables.task import Arrays


class RaceStudy(SearchStudy):
    """The study of a race; each candidate has a space of its own, in which only the seed is free.

    Its records are called runs, as their numbers are not those of the trials that race.
    """

    noun = "run"

    def begin(self, space: Space, seed: int) -> TrialRecord:
        """A new run of the candidate with this space."""
        self.space = space
        self.space_number = self._number_of_space()
        return self.ask({SEED: seed})


class RaceCoordinator(Coordinator):
    """Runs what the race asks for next, which follows from its study alone; no run ends early.

    Args:
        study: of the race.
        plan: who races.
        note: called with what happens in the race.
        others: see `Coordinator`.
    """

    study: RaceStudy

    def __init__(
        self, study: RaceStudy, plan: RacePlan, config: Config, *, note: Callable[[str], None], **others: Any
    ) -> None:
        # A run that ended is never continued: one of a shorter full length is none of this race.
        others = {"can_go_on": lambda record: False, **others}
        super().__init__(study, NoScheduler(), config, **others)
        self._plan, self._note = plan, note
        self._told: set[int] = set()
        """Candidates whose exit is known."""

    def recover(self) -> None:
        super().recover()
        race = self.race
        self._waiting = [record for record in self._queue if self._is_wanted(record, race)]
        self._told = set(race.exits)
        self._bound_runs(race)

    @property
    def race(self) -> Race:
        return self._plan.race(self.study.records, self.study.mode)

    def _choose(self) -> tuple[TrialRecord | None, EventKind]:
        waiting = self._next_waiting()
        if waiting is not None:
            return waiting, EventKind.RESUMED if waiting.depth else EventKind.STARTED
        race = self.race
        self._tell_exits(race)
        self._bound_runs(race)
        running = {self._key(record) for record in self.running}
        for candidate, seed in race.pending:
            if (candidate, seed) not in running:
                found = self._plan.candidates[candidate]
                record = self.study.begin(found.space, seed)
                self._note(f"run {record.number} is of trial {found.trial}, with seed {seed}")
                return record, EventKind.STARTED
        return None, EventKind.STARTED

    def _key(self, record: TrialRecord) -> tuple[int, int]:
        """Candidate and seed; no candidate is -1."""
        return self._plan.candidate_of(record), record.params[SEED]

    def _is_wanted(self, record: TrialRecord, race: Race) -> bool:
        """Whether a run that may go on is one of this race: it is missing, or has failed and is retried."""
        candidate, seed = key = self._key(record)
        retried = record.resumable and record.outcome in NO_VERDICT
        return key in race.pending or (retried and candidate >= 0 and seed in self._plan.seeds)

    def _tell_exits(self, race: Race) -> None:
        for candidate, left in race.exits.items():
            if candidate not in self._told:
                self._told.add(candidate)
                leader = self._plan.candidates[race.leader].trial
                why = "more of its runs failed or diverged" if left.p is None else f"p = {left.p:.2g}"
                number = self._plan.candidates[candidate].trial
                self._note(f"trial {number} leaves after {left.after} seeds: {why}, against trial {leader}")

    def _bound_runs(self, race: Race) -> None:
        """The number of runs that there are at most, for who shows the progress."""
        done = sum(len(losses) for losses in race.losses)
        left = (len(race.losses) - len(race.exits)) * (len(self._plan.seeds) - race.rounds)
        lost = self._plan.lost
        others = sum(self._key(record)[0] < 0 or record.number in lost for record in self.study.records)
        self.budget = self.budget.model_copy(update={"trials": done + left + others})


def run_race(
    folder: RunFolder,
    summary: Summary,
    asked: Confirm,
    executor: Executor,
    reporter: ProgressReporter,
    *,
    retry_failed: bool = False,
    mirror: Mirror | None = None,
) -> Summary:
    """Run the race of a complete search, or continue it; returns the summary with what it has come to.

    A race that has begun keeps its runs: they count for whoever of them is among the best trials now, and
    seeds are only added.

    Args:
        folder: of the whole run.
        summary: of its search, see `without_race`.
        asked: how many trials race over how many seeds.
        retry_failed: run those again that failed.
        mirror: of the run, where it has a storage.

    Raises:
        SearchError: there is nothing to race, the data have changed, or their split follows the seed.
    """
    with owned(folder, reporter):
        stage, home = folder.stages()[-1], RunFolder(folder.confirm_path)
        config = open_run(stage.config).first
        if isinstance(config.scheduler, schema.Pbt):
            raise RefusedError(OF_A_POPULATION)
        before, searched = read_plan(home.race), read_records(stage.journal)
        plan = plan_race(
            asked,
            searched,
            mode=config.objective.mode,
            virtual_epochs=config.budget.max_virtual_epochs,
            before=before,
            configured=open_run(folder.config).confirm,
        )
        plan = without_lost_runs(plan, home, reporter)
        for trial in () if before is None else before.left_out_by(plan):
            reporter.note(
                f"trial {trial} races no longer: it is not among the best {plan.top}; its runs are kept"
            )
        if asked.seeds < len(plan.seeds):
            reporter.note(
                f"confirm: received {asked.seeds} seeds, and the race has begun with {len(plan.seeds)}; all "
                "of these stay, as their runs count"
            )
        records = read_records(home.journal) if home.journal.is_file() else []
        again = retry_failed and any(run.outcome in NO_VERDICT for run in plan.runs(records).values())
        if again or not plan.race(records, config.objective.mode).is_over:
            race = _run_in_folder(config, plan, stage, home, executor, reporter, again, mirror)
            summary = _with_end_of(race, summary)
        else:
            plan.write(home.race)
        confirmed = confirmed_by(plan, read_records(home.journal), config.objective.mode, searched=searched)
        if confirmed.status == "complete":
            _keep_best_checkpoints(home, config.objective.mode)
        return replace(summary, confirmed=confirmed)


def _run_in_folder(
    config: Config,
    plan: RacePlan,
    stage: RunFolder,
    home: RunFolder,
    executor: Executor,
    reporter: ProgressReporter,
    retry_failed: bool,
    mirror: Mirror | None,
) -> Summary:
    trials = ", ".join(str(candidate.trial) for candidate in plan.candidates)
    reporter.phase(f"confirm: trials {trials} race over up to {len(plan.seeds)} seeds")
    notes: list[str] = []
    found = find_data(config, load=True)
    how: dict[str, Any] = {"accept": False, "note": notes.append, "flags": executor.flags}
    data = take_data(config, stage, found.fingerprint, **how)
    shared = load_shared_data(config, stage, found.arrays, notes)
    refuse_other_splits(config, shared, plan.candidates[0].options, plan.seeds[:2])
    home.create()
    plan.write(home.race)
    _copy_prepared(stage, home)
    number = len(read_records(home.journal)) if home.journal.is_file() else 0
    own = race_config(config, plan, number)

    def begin(concurrency: int) -> RaceCoordinator:
        known: dict[str, Any] = {"mode": config.objective.mode, "space": own.space, "data": data}
        # That of the search, also where its trials are longer now.
        known["window"] = read_records(stage.journal)[0].window
        study = RaceStudy(home.journal, name=own.name, **known)
        others: dict[str, Any] = {"concurrency": concurrency, "retry_failed": retry_failed}
        return RaceCoordinator(study, plan, own, note=reporter.note, **others)

    told: dict[str, Any] = {"note": reporter.note, "phase": reporter.phase}
    jobs = Jobs(config=own, folder=home, shared=shared, stored=live_trials(mirror, home), **told)
    shown = own.model_copy(update={"name": f"{home.path.parent.name}, confirm"})
    return run_jobs(jobs, executor, reporter, begin, shown, notes)


def race_config(config: Config, plan: RacePlan, number: int) -> Config:
    """That of the race: runs of full length, which keep their checkpoints until it is over.

    Args:
        number: runs that there are.
    """
    runs = number + len(plan.candidates) * len(plan.seeds)
    changes = {
        "name": f"{config.name}, confirm",
        "space": plan.candidates[0].space,
        "points_to_evaluate": [],
        "sampler": Sampler(name="random"),
        "scheduler": schema.NoScheduler(),
        "plateau": None,
        "limits": None,  # its candidates are within them
        "budget": Budget(trials=runs, max_virtual_epochs=plan.virtual_epochs),
        "checkpoint": config.checkpoint.model_copy(update={"keep_trials": runs}),
    }
    return config.model_copy(update=changes)


def refuse_other_splits(
    config: Config,
    shared: Mapping[str, Arrays],
    options: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (1, 2),
) -> None:
    """Refuse a task of the user's own whose split follows the seed: a race would be one of splits.

    Args:
        config: of the search, or of a stage.
        shared: the data that are loaded, by their keys.
        options: of a candidate (default: of any trial).
        seeds: two of them.

    Raises:
        SearchError: it is one.
    """
    if config.task_path in BUILT_IN.values():
        return
    options = dict(next(iter(config.space.candidates())).options if options is None else options)
    with data_errors(config.task_path, places=config.places):
        arrays = shared.get(data_key(config.task_path, options))
        differing = other_validation(config.task_class(), options, seeds, arrays)
    if differing:
        raise RefusedError(
            f"the validation data of {config.task_path} follow trial.seed ({differing}), so values of "
            "several seeds do not compare, as `confirm` would; split the data by a seed of their own, as by "
            "trial.data.split_seed, or leave confirm: out"
        )


def _copy_prepared(stage: RunFolder, home: RunFolder) -> None:
    """What the task computed once for the search, so that the runs are measured alike."""
    home.prepared.mkdir(exist_ok=True)
    for file in sorted(stage.prepared.glob("*.safetensors")):
        own = home.prepared / file.name
        if not (own.is_file() and filecmp.cmp(file, own, shallow=False)):
            with atomic_file(own) as partial:
                shutil.copyfile(file, partial)


def _keep_best_checkpoints(home: RunFolder, mode: Mode) -> None:
    """Of each run, keep the checkpoint that an export would take.

    Whoever has lost may win with more seeds, or race again after others: what it has run counts then.
    """
    for record in read_records(home.journal):
        best = record.best_virtual_epoch(mode) if record.values else record.depth
        trial = home.trial(record.number)
        discard_all(checkpoint_folder(trial, other) for other in list_checkpoints(trial) if other != best)


def _with_end_of(race: Summary, summary: Summary) -> Summary:
    """The summary of the whole, which has ended as its race has."""
    if race.status == "complete":
        return summary
    return replace(summary, status=race.status, reason=f"{summary.reason}{RACE}{race.reason}")


def without_race(summary: Summary) -> Summary:
    """The summary of the search alone."""
    reason, ended_in_race, _ = summary.reason.partition(RACE)
    status = "complete" if ended_in_race else summary.status
    return replace(summary, status=status, reason=reason, confirmed=None)  # type: ignore[arg-type]


def read_confirmed(folder: RunFolder) -> Confirmed | None:
    """What the race in the folder of a whole run has come to so far; None if there is none.

    Raises:
        SearchError: it is damaged.
    """
    home, stages = RunFolder(folder.confirm_path), folder.stages()
    plan = read_plan(home.race)
    if plan is None or not stages:
        return None
    config = open_run(stages[-1].config).first
    mode, length = config.objective.mode, config.budget.max_virtual_epochs
    asked = Confirm(top=plan.top, seeds=len(plan.seeds), error=plan.error)
    searched = read_records(stages[-1].journal)
    try:
        now = plan_race(asked, searched, mode=mode, virtual_epochs=length, before=plan)
        outdated = not plan.is_that_of(now)
    except SearchError:  # no trial has a value on the data of now
        outdated = True
    records = read_records(home.journal) if home.journal.is_file() else []
    return confirmed_by(plan, records, mode, searched=searched, outdated=outdated)


def with_race_so_far(summary: Summary, folder: RunFolder) -> Summary:
    """The summary of a search with what an earlier race in its folder has come to, if there was one."""
    return replace(summary, confirmed=read_confirmed(folder))
