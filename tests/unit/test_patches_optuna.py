"""Each row of the table in search/study/patches.py, with the installed Optuna."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import QMCSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from search.study.patches import NumberedQMCSampler, contains, share_distributions

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (FloatDistribution(1e-4, 1e-1, log=True), 0.01, 0.2),
        (FloatDistribution(0.0, 0.9, step=0.3), 0.6, 1.2),
        (IntDistribution(1, 9), 9, 10),
        (CategoricalDistribution(["a", "b"]), "b", None),
    ],
    ids=str,
)
def test_contains_tells_what_lies_in_a_distribution(distribution: Any, inside: Any, outside: Any) -> None:
    assert contains(distribution, inside)
    if outside is not None:
        assert not contains(distribution, outside)


def test_a_numbered_qmc_sampler_gives_the_points_of_optunas_sequence_each_by_its_number() -> None:
    space: dict[str, Any] = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}

    def options() -> dict[str, Any]:
        return {"seed": 3, "scramble": True, "warn_independent_sampling": False}

    study = optuna.create_study(sampler=QMCSampler(**options()))
    study.add_trial(create_trial(value=0.0, params={"x": 0.5, "y": 0.5}, distributions=space))
    theirs = [study.ask(space).params for _ in range(5)]
    (first, *_) = study.get_trials()
    for number in (4, 0, 2):
        ours = NumberedQMCSampler(number, **options()).sample_relative(study, first, space)
        assert ours == theirs[number]
    assert len({str(params) for params in theirs}) == 5


class Lines(BaseJournalBackend):
    """A journal in memory."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Any:
        return list(self.logs[log_number_from:])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += logs


def test_trials_of_a_journal_can_share_one_description_of_their_space() -> None:
    storage = JournalStorage(Lines())
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], "x")
    for value in (1, 2):
        template = create_trial(
            state=TrialState.RUNNING, params={"n": value}, distributions={"n": IntDistribution(1, 9)}
        )
        share_distributions(storage.get_trial(storage.create_new_trial(study_id, template)))
    one, other = storage.get_all_trials(study_id, deepcopy=False)
    assert one.distributions is other.distributions
    assert storage.get_trial(1).distributions is other.distributions
    assert (one.params, other.params) == ({"n": 1}, {"n": 2})


def test_choices_that_python_takes_for_equal_are_not_shared() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, other = (
            create_trial(
                value=0.0, params={"n": choices[0]}, distributions={"n": CategoricalDistribution(choices)}
            )
            for choices in ((0, 1), (False, True))
        )
    share_distributions(one)
    share_distributions(other)
    assert repr(one.distributions) != repr(other.distributions)
