"""How many trials fit on the hosts of a search."""

from __future__ import annotations

import re

import pytest
from tiny_tasks import search_config

from search.config.stages import load_config
from search.errors import RefusedError
from search.ray.hosts import Host
from search.run.before.fit import concurrent_trials, spread_share


def at_once(*hosts: tuple[float, float], **resources: float) -> int:
    """Trials at once on hosts w1, w2, … with these numbers of CPUs and GPUs."""
    config = load_config(search_config(resources=resources)).first
    found = [
        Host({"CPU": cpus, "GPU": gpus}, name=f"w{number}", address=f"10.0.0.{number}")
        for number, (cpus, gpus) in enumerate(hosts, 1)
    ]
    return concurrent_trials(config.resources, found)


@pytest.mark.parametrize(
    ("hosts", "resources", "fit"),
    [
        ([(3, 0), (3, 0)], {"cpus_per_trial": 2}, 2),
        ([(3, 0), (1, 0)], {"cpus_per_trial": 2}, 1),
        ([(0, 0), (1, 0)], {"cpus_per_trial": 0.1}, 10),
        ([(8, 1), (1, 4)], {"gpus_per_trial": 0.5}, 3),
        ([(8, 4)], {"gpus_per_trial": 0.3}, 8),
        ([(16, 4)], {"gpus_per_trial": 0.3}, 12),
        ([(8, 0), (8, 2)], {"gpus_per_trial": 1}, 2),
        ([(8, 2), (8, 2)], {"gpus_per_trial": 0.25, "concurrent_trials": 3}, 3),
        ([(4, 0)], {"workers_per_trial": 2}, 2),
        ([(3, 0), (3, 0)], {"workers_per_trial": 3}, 2),
        ([(3, 0), (3, 0)], {"workers_per_trial": 2, "cpus_per_trial": 4}, 1),
        ([(8, 1), (8, 1)], {"gpus_per_trial": 2}, 1),
    ],
)
def test_a_trial_of_one_worker_runs_on_one_host_and_of_several_on_some(
    hosts: list[tuple[float, float]], resources: dict[str, float], fit: int
) -> None:
    assert at_once(*hosts, **resources) == fit


@pytest.mark.parametrize(
    ("hosts", "resources", "cause"),
    [
        ([(1, 0)], {"cpus_per_trial": 2}, "cpus_per_trial is 2, there are 1"),
        ([], {"cpus_per_trial": 2}, "cpus_per_trial is 2, there are 0"),
        ([(0, 0), (0, 0)], {"cpus_per_trial": 1}, "cpus_per_trial is 1, there are 0"),
        (
            [(1, 0), (3, 0), (3, 0)],
            {"cpus_per_trial": 4},
            "cpus_per_trial is 4: a trial runs on one host, and the largest of 3, w2 (10.0.0.2), has 3",
        ),
        (
            [(2, 0), (1, 0)],
            {"workers_per_trial": 4},
            "workers_per_trial is 4: each takes 1 CPUs and 0 GPUs, and the 2 hosts have room for 3",
        ),
        ([(4, 0), (4, 0)], {"gpus_per_trial": 0.5}, "gpus_per_trial is 0.5, there are 0"),
        (
            [(4, 0), (1, 1)],
            {"cpus_per_trial": 2, "gpus_per_trial": 1},
            "no host has 2 CPUs and 1 GPUs for a trial, which runs on one",
        ),
    ],
)
def test_a_trial_that_fits_on_no_host_is_refused_with_what_the_largest_one_has(
    hosts: list[tuple[float, float]], resources: dict[str, float], cause: str
) -> None:
    with pytest.raises(RefusedError, match=f"^resources: {re.escape(cause)}. Ask for less with --set, or"):
        at_once(*hosts, **resources)


@pytest.mark.parametrize(
    ("hosts", "needed", "at_once", "share"),
    [
        ([(8, 4)], 0.25, 4, 1.0),
        ([(8, 4)], 0.25, 5, 0.5),
        ([(8, 4)], 0.3, 8, 0.5),
        ([(16, 4)], 0.3, 12, 0.3333),
        ([(16, 4)], 0.25, 16, 0.25),
        ([(1, 4), (8, 1)], 0.25, 5, 0.25),
        ([(8, 1), (8, 1)], 0.1, 2, 1.0),
        ([(8, 1)], 0.0, 8, 0.0),
    ],
)
def test_trials_take_as_much_of_a_gpu_as_leaves_none_idle(
    hosts: list[tuple[float, float]], needed: float, at_once: int, share: float
) -> None:
    config = load_config(search_config(resources={"gpus_per_trial": needed})).first
    found = [Host({"CPU": cpus, "GPU": gpus}) for cpus, gpus in hosts]
    assert spread_share(config.resources, found, at_once) == share
