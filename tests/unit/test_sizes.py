"""What a trial takes may follow one of its parameters: which entry is about it, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from simulated_search import Simulation
from tiny_tasks import search_config

from search.commands.check import check
from search.commands.plan import plan
from search.config.config import Config
from search.config.sizes import notes_of_unused
from search.config.stages import SearchConfig, load_config
from search.errors import ConfigError, RefusedError
from search.ray.hosts import Host
from search.run.before.fit import absent, bundle, concurrent_trials, sizes_text
from search.run.before.largest_batch import by_size
from search.run.disk.folder import RunFolder
from search.run.executor import Jobs
from search.run.executors.placement import Placement
from search.run.executors.room import Claim, has_room
from search.run.executors.running import RunningJob, RunningJobs
from search.run.search import search as run_search
from search.space.space import Resolved
from trainables.session import TrialPlan

WIDTHS: dict[str, Any] = {"choice": [8, 16, 32]}
SCHEDULES: dict[str, Any] = {
    "choice": [{"name": "adamw", "lr": {"loguniform": [1e-4, 0.1]}}, {"name": "sgd", "lr": 0.1}]
}


def loaded(
    where: dict[str, Any] | None, trial: dict[str, Any] | None = None, *, changed: Any = (), **resources: Any
) -> Config:
    """A configuration whose `resources.where` is this."""
    space = {"model": {"hidden": WIDTHS}, "optimizer": SCHEDULES, "batch_size": 16, **(trial or {})}
    given = resources | ({} if where is None else {"where": where})
    return load_config(search_config(**{"trial": space, "resources": given, **dict(changed)})).first


def problems(*arguments: Any, **named: Any) -> str:
    with pytest.raises(ConfigError) as error:
        loaded(*arguments, **named)
    return str(error.value)


def trial(config: Config, **params: Any) -> Resolved:
    """A trial of the space with these values, and the first ones else."""
    return config.space.resolve({**next(iter(config.space.candidates())).params, **params})


def cpus(config: Config, **params: Any) -> float:
    return config.resources.of(trial(config, **params).options).cpus_per_trial


HIDDEN = "model.hidden"


def test_an_option_has_what_is_written_for_it_and_all_others_what_stands_outside() -> None:
    config = loaded({HIDDEN: {32: {"cpus_per_trial": 4}}}, cpus_per_trial=2)
    assert [cpus(config, **{HIDDEN: value}) for value in (8, 16, 32)] == [2, 2, 4]


def test_at_least_holds_from_its_number_on_and_an_option_of_its_own_goes_before() -> None:
    entries = {
        16: {"cpus_per_trial": 7},
        "at least 16": {"cpus_per_trial": 3},
        "at least 32": {"cpus_per_trial": 5},
    }
    config = loaded({HIDDEN: entries})
    assert [cpus(config, **{HIDDEN: value}) for value in (8, 16, 32)] == [1, 7, 5]
    config = loaded(
        {HIDDEN: {"at least 20": {"cpus_per_trial": 2}}}, {"model": {"hidden": {"randint": [8, 32]}}}
    )
    assert [cpus(config, **{HIDDEN: value}) for value in (8, 19, 20, 32)] == [1, 1, 2, 2]


def test_a_choice_among_mappings_is_followed_by_their_names_and_a_parameter_of_one_where_it_is_chosen() -> (
    None
):
    config = loaded({"optimizer": {"sgd": {"cpus_per_trial": 2}}})
    assert [cpus(config, optimizer=name) for name in ("adamw", "sgd")] == [1, 2]
    config = loaded({"optimizer.adamw.lr": {"at least 0.01": {"cpus_per_trial": 2}}})
    assert cpus(config, **{"optimizer.adamw.lr": 0.001}) == 1
    assert cpus(config, **{"optimizer.adamw.lr": 0.01}) == 2
    assert cpus(config, optimizer="sgd") == 1


@pytest.mark.parametrize(
    ("value", "entry"), [(True, "true"), (0.1, "0.1"), (1e-5, "0.00001"), ([8, 16], "[8,16]"), (None, "null")]
)
def test_an_option_is_written_as_in_the_choice(value: Any, entry: str) -> None:
    config = loaded(
        {"model.other": {entry: {"cpus_per_trial": 2}}}, {"model": {"other": {"choice": [value, "x"]}}}
    )
    found = [config.resources.of(each.options).cpus_per_trial for each in config.space.candidates()]
    assert sorted(set(found)) == [1, 2]


def test_a_value_that_is_not_searched_any_more_has_its_resources_too() -> None:
    config = loaded({HIDDEN: {32: {"cpus_per_trial": 4}}}, {"model": {"hidden": 32}})
    assert cpus(config) == 4
    assert [which for which, _ in config.resources.sizes] == [f"{HIDDEN} 32"]


def test_two_gpus_are_two_workers_with_a_cpu_each_and_one_is_one_again() -> None:
    entries = {16: {"gpus_per_trial": 2}, 32: {"gpus_per_trial": 4, "cpus_per_trial": 8}}
    config = loaded({HIDDEN: entries}, gpus_per_trial=0.5, memory_per_trial="2GB")
    found = [config.resources.of(trial(config, **{HIDDEN: value}).options) for value in (8, 16, 32)]
    assert [(e.gpus_per_trial, e.workers_per_trial, e.cpus_per_trial) for e in found] == [
        (0.5, 1, 1), (2, 2, 2), (4, 4, 8)
    ]  # fmt: skip
    assert {each.memory_per_trial for each in found} == {2e9}
    config = loaded({HIDDEN: {8: {"gpus_per_trial": 1, "memory_per_trial": "1GB"}}}, gpus_per_trial=2)
    small = config.resources.of(trial(config, **{HIDDEN: 8}).options)
    assert (small.workers_per_trial, small.cpus_per_trial, small.memory_per_trial) == (1, 2, 1e9)


def test_only_sizes_that_trials_have_are_counted() -> None:
    every = {width: {"cpus_per_trial": width / 8} for width in (8, 16, 32)}
    config = loaded({HIDDEN: every})
    assert [(which, size.cpus_per_trial) for which, size in config.resources.sizes] == [
        ("model.hidden 8", 1), ("model.hidden 16", 2), ("model.hidden 32", 4)
    ]  # fmt: skip
    ranged = {"model": {"hidden": {"randint": [8, 29]}}}
    config = loaded({HIDDEN: {"at least 20": {"cpus_per_trial": 2}}}, ranged)
    assert [which for which, _ in config.resources.sizes] == ["", "model.hidden at least 20"]
    config = loaded({HIDDEN: {"at least 8": {"cpus_per_trial": 2}}}, ranged)
    assert [which for which, _ in config.resources.sizes] == ["model.hidden at least 8"]


def test_trials_of_an_earlier_space_keep_their_resources() -> None:
    config = loaded({HIDDEN: {32: {"cpus_per_trial": 4}}}, {"model": {"hidden": {"choice": [8, 32]}}})
    smaller = loaded({HIDDEN: {32: {"cpus_per_trial": 4}}}, {"model": {"hidden": 8}})
    assert smaller.resources.sizes[0].resources.cpus_per_trial == 1
    options = trial(config, **{HIDDEN: 32}).options
    assert smaller.resources.of(options) == config.resources.of(options)


@pytest.mark.parametrize(
    ("where", "named", "message"),
    [
        (
            {"model.hiden": {32: {"cpus_per_trial": 2}}},
            {},
            "resources.where.model.hiden: no parameter has this name, nor a value under trial:; "
            "did you mean 'model.hidden'?",
        ),
        (
            {HIDDEN: {33: {"cpus_per_trial": 2}}},
            {},
            "resources.where.model.hidden.33: received '33'; must be one of the options, choice 8, 16, 32",
        ),
        (
            {"optimizer": {"sdg": {"cpus_per_trial": 2}}},
            {},
            "resources.where.optimizer.sdg: received 'sdg'; must be one of the options, choice adamw, sgd; "
            "did you mean 'sgd'?",
        ),
        ({HIDDEN: {"at least 64": {"cpus_per_trial": 2}}}, {}, "no option is so large: choice 8, 16, 32"),
        (
            {HIDDEN: {"at least x": {"cpus_per_trial": 2}}},
            {},
            "received 'at least x'; is written `at least NUMBER`, such as `at least 32`",
        ),
        (
            {HIDDEN: {32: {"cpus_per_trial": 2}, "32.0": {"cpus_per_trial": 3}}},
            {},
            "where.model.hidden.32.0: received '32.0' and '32', which are the same option; remove one",
        ),
        (
            {HIDDEN: {"at least 9": {"cpus_per_trial": 2}, "at least 9.0": {"cpus_per_trial": 3}}},
            {},
            "received 'at least 9.0' and 'at least 9', which are the same option; remove one",
        ),
        (
            {HIDDEN: {16: {"cpus_per_trial": 2}}},
            {"trial": {"model": {"hidden": {"randint": [8, 32]}}}},
            "received '16'; of a range of numbers an entry is `at least NUMBER`, such as `at least 32`",
        ),
        (
            {HIDDEN: {"at least 64": {"cpus_per_trial": 2}}},
            {"trial": {"model": {"hidden": {"randint": [8, 32]}}}},
            "no trial has it, as the range is randint 8 .. 32",
        ),
        ({HIDDEN: {32: {}}}, {}, "resources.where.model.hidden.32: is empty; give one of cpus_per_trial, "),
        (
            {HIDDEN: {32: {"cpus": 2}}},
            {},
            "resources.where.model.hidden.32.cpus: unknown key 'cpus'; known: cpus_per_trial, ",
        ),
        ({HIDDEN: {32: {"gpus_per_trial": 1.5}}}, {}, "received 1.5; must be at most 1, or a whole number"),
        (
            {HIDDEN: {32: {"gpus_per_trial": 2, "workers_per_trial": 3}}},
            {},
            "resources.where.model.hidden.32: workers_per_trial: received 3; must be 2, as each worker",
        ),
        (
            {HIDDEN: {32: {"cpus_per_trial": 2}}, "batch_size": {16: {"cpus_per_trial": 2}}},
            {},
            "resources.where: received model.hidden and batch_size; must be one parameter, as of two sizes",
        ),
        (
            {HIDDEN: {32: {"accelerator": "A100"}}},
            {},
            "accelerator: received 'A100', which is a kind of GPU, and gpus_per_trial is 0; give",
        ),
        (
            None,
            {"accelerator": "A100"},
            "resources.accelerator: received 'A100', which is a kind of GPU, and",
        ),
        (
            {"model": {32: {"cpus_per_trial": 2}}},
            {"trial": {"model": {"choice": [{"hidden": 8}, {"hidden": 32}]}}},
            "resources.where.model: cannot be followed, as its options have no names; give each a `name`",
        ),
    ],
)
def test_a_name_an_option_and_numbers_that_do_not_go_together_are_refused_with_the_way_out(
    where: dict[str, Any], named: dict[str, Any], message: str
) -> None:
    assert message in problems(where, **named)


BASE = {"optimizer": {"name": "adamw", "lr": 0.01}, "batch_size": 16}


def in_stages(
    where: dict[str, Any], first: dict[str, Any], second: dict[str, Any], **sections: Any
) -> SearchConfig:
    """Two stages that search these widths."""
    trial = {"model": {"hidden": 8}, **BASE}
    stages: Any = [
        {"name": name, "trial": {"model": {"hidden": hidden}}}
        for name, hidden in (("a", first), ("b", second))
    ]
    return load_config(search_config(trial=trial, stages=stages, resources={"where": where}, **sections))


def test_an_entry_that_trials_of_one_stage_have_is_right_in_a_search_in_stages() -> None:
    where = {HIDDEN: {32: {"cpus_per_trial": 4}}}
    config = in_stages(where, {"choice": [8, 16]}, {"choice": [8, 32]})
    assert [[which for which, _ in stage.configs[0].resources.sizes] for stage in config.stages] == [
        [""],
        ["", "model.hidden 32"],
    ]
    assert config.raw["resources"]["where"] == {HIDDEN: {"32": {"cpus_per_trial": 4}}}
    assert [stage.configs[0].raw["resources"]["where"] for stage in config.stages] == [
        {},
        {HIDDEN: {"32": {"cpus_per_trial": 4}}},
    ]
    begun = config.stage(1, {"model": {"hidden": 16}, **BASE})
    assert begun.raw["resources"]["where"] == {HIDDEN: {"32": {"cpus_per_trial": 4}}}
    assert [stage.configs[0].resources.used for stage in config.stages] == [set(), {(HIDDEN, "32")}]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {HIDDEN: {33: {"cpus_per_trial": 2}}},
            "resources.where.model.hidden.33: received '33'; must be one of the options, choice 8, 16",
        ),
        (
            {"model.hiden": {32: {"cpus_per_trial": 2}}},
            "no parameter has this name, nor a value under trial:",
        ),
    ],
)
def test_an_entry_that_no_stage_has_is_refused_once(where: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        in_stages(where, {"choice": [8, 16]}, {"choice": [8, 32]})
    assert message in str(error.value)
    assert len(error.value.problems) == 1


def test_an_option_that_a_value_which_is_not_searched_never_has_is_told() -> None:
    where = {HIDDEN: {33: {"cpus_per_trial": 4}, "at least 4": {"cpus_per_trial": 2}}}
    config = loaded(where, {"model": {"hidden": 8}})
    told = "resources.where, model.hidden 33: no trial of this configuration has it"
    assert notes_of_unused([config.resources]) == [told]


@pytest.mark.usefixtures("no_fsync")
def test_the_sizes_of_later_stages_are_tested_before_the_first_one_trains(tmp_path: Path) -> None:
    where = {HIDDEN: {32: {"cpus_per_trial": 4096}}}
    config = in_stages(where, {"choice": [8, 16]}, {"choice": [8, 32]})
    with pytest.raises(RefusedError, match=r"model.hidden 32: cpus_per_trial is 4096, there are"):
        run_search(config, results=tmp_path, local=True)
    assert not list(tmp_path.glob("**/trials/*"))
    with pytest.raises(RefusedError, match=r"model.hidden 32: cpus_per_trial is 4096, there are"):
        check(config.raw)
    with pytest.raises(RefusedError, match=r"model.hidden 32: cpus_per_trial is 4096, there are"):
        plan(config.raw, local=True)


def test_a_parameter_that_changes_while_a_trial_is_trained_is_refused_with_pbt() -> None:
    pbt: dict[str, Any] = {
        "scheduler": {"name": "pbt", "interval": 2},
        "sampler": {"name": "random"},
        "budget": {"trials": 4, "max_virtual_epochs": 8},
    }
    trial_of = {"optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 0.1]}}}
    where = {"optimizer.lr": {"at least 0.01": {"cpus_per_trial": 2}}}
    assert "optimizer.lr: changes while a trial is trained (scheduler: pbt)" in problems(
        where, trial_of, changed=pbt
    )
    loaded({HIDDEN: {32: {"cpus_per_trial": 2}}}, trial_of, changed=pbt)


@pytest.mark.parametrize("resources", [{}, {"gpus_per_trial": 0.25}])
def test_gpu_hours_are_refused_where_trials_have_different_gpus(resources: dict[str, Any]) -> None:
    budget = {"budget": {"gpu_hours": 1.0}}
    said = problems({HIDDEN: {32: {"gpus_per_trial": 0.5}}}, changed=budget, **resources)
    assert "budget.gpu_hours: received 1.0; counts resources.gpus_per_trial of each trial" in said
    loaded({HIDDEN: {32: {"cpus_per_trial": 2}}}, changed=budget, gpus_per_trial=0.25)


def by_width(**sections: Any) -> dict[str, Any]:
    """A grid over three widths."""
    space = {"model": {"hidden": WIDTHS}, "optimizer": {"name": "adamw", "lr": 0.01}, "batch_size": 16}
    return {"trial": space, "sampler": {"name": "grid"}, "scheduler": {"name": "none"}, **sections}


@pytest.mark.usefixtures("no_fsync")
def test_the_job_of_a_trial_has_its_threads_its_share_and_its_workers(tmp_path: Path) -> None:
    entries = {16: {"cpus_per_trial": 3, "gpus_per_trial": 0.5}, 32: {"gpus_per_trial": 2}}
    resources = {"gpus_per_trial": 0.25, "where": {HIDDEN: entries}}
    config = load_config(search_config(**by_width(resources=resources))).first
    coordinator = Simulation(tmp_path, config, workers=3).coordinator
    jobs = Jobs(config=config, folder=RunFolder(tmp_path / "run"), shared={})
    plans = [plan for _ in range(3) if isinstance(plan := jobs.next_plan(coordinator), TrialPlan)]
    plans.sort(key=lambda plan: plan.options["model"]["hidden"])
    assert [(plan.num_threads, plan.gpu_fraction, plan.workers) for plan in plans] == [
        (1, 0.25, 1), (3, 0.5, 1), (1, 1.0, 2)
    ]  # fmt: skip


def test_a_batch_is_looked_for_among_the_trials_of_each_size_by_itself() -> None:
    where = {"where": {HIDDEN: {32: {"memory_per_trial": "4GB"}}}, "memory_per_trial": "1GB"}
    found = by_size(load_config(search_config(**by_width(resources=where))))
    assert [
        (resources.memory_per_trial, [trial["model"]["hidden"] for trial in trials])
        for resources, trials in found
    ] == [(1e9, [8, 16]), (4e9, [32])]


def host(number: int, cpus: float, gpus: float = 0, kind: str = "") -> Host:
    resources = {"CPU": cpus, "GPU": gpus} | ({f"accelerator_type:{kind}": 1.0} if kind else {})
    return Host(resources, name=f"w{number}", address=f"10.0.0.{number}", node_id=f"id{number}")


def test_the_number_at_once_is_that_of_the_smallest_and_each_size_is_told() -> None:
    resources = loaded({HIDDEN: {32: {"cpus_per_trial": 2}}}).resources
    assert concurrent_trials(resources, [host(1, 5)]) == 5
    assert sizes_text(resources, [host(1, 5)]) == "5 with other values, 2 with model.hidden 32"
    assert sizes_text(loaded(None).resources, [host(1, 5)]) == ""
    resources = loaded({HIDDEN: {32: {"cpus_per_trial": 2}}}, concurrent_trials=3).resources
    assert sizes_text(resources, [host(1, 5)]) == "3 with other values, 2 with model.hidden 32"


@pytest.mark.parametrize(
    ("entry", "outside", "hosts", "cause"),
    [
        (
            {"cpus_per_trial": 4},
            {},
            [host(1, 2), host(2, 3)],
            "resources.where, model.hidden 32: cpus_per_trial is 4: a trial runs on one host, and the "
            "largest of 2, w2 (10.0.0.2), has 3",
        ),
        (
            {"gpus_per_trial": 0.5},
            {},
            [host(1, 2)],
            "resources.where, model.hidden 32: gpus_per_trial is 0.5",
        ),
        (
            {"accelerator": "H10O"},
            {"gpus_per_trial": 0.5},
            [host(1, 2, 1, "H100"), host(2, 2, 1, "V100")],
            "resources.where, model.hidden 32: accelerator is H10O, and there are H100, V100; "
            "did you mean 'H100'?",
        ),
        (
            {"accelerator": "H100"},
            {"gpus_per_trial": 0.5},
            [host(1, 2, 1)],
            "accelerator is H100, and no host says of which kind its GPUs are",
        ),
        (
            {"accelerator": "H100", "cpus_per_trial": 4},
            {"gpus_per_trial": 0.5},
            [host(1, 2, 1, "H100"), host(2, 8, 1, "V100")],
            "cpus_per_trial is 4, there are 2",
        ),
    ],
)
def test_a_search_whose_largest_trial_fits_nowhere_is_refused_with_its_parameter_and_the_host(
    entry: dict[str, Any], outside: dict[str, Any], hosts: list[Host], cause: str
) -> None:
    resources = loaded({HIDDEN: {32: entry}}, **outside).resources
    with pytest.raises(RefusedError) as error:
        concurrent_trials(resources, hosts)
    assert cause in str(error.value)


def test_trials_run_on_the_kind_of_gpu_that_they_ask_for_alone() -> None:
    hosts = [host(1, 8, 2, "A100"), host(2, 8, 4, "V100")]
    resources = loaded(None, gpus_per_trial=0.5, accelerator="A100").resources
    assert concurrent_trials(resources, hosts) == 4
    assert bundle(resources) == {"CPU": 1, "GPU": 0.5, "accelerator_type:A100": 0.001}
    assert concurrent_trials(resources.of_any_kind, [host(1, 8, 1)]) == 2
    large = loaded({HIDDEN: {32: {"accelerator": "A100"}}}, gpus_per_trial=0.5).resources
    assert sizes_text(large, hosts) == "12 with other values, 4 with model.hidden 32"


def test_hosts_are_waited_for_while_a_size_has_none() -> None:
    resources = loaded({HIDDEN: {32: {"gpus_per_trial": 1}}}).resources
    waited_for = absent(resources, [host(1, 4)])
    assert waited_for is not None
    assert waited_for.gpus_per_trial == 1
    assert absent(resources, [host(1, 4), host(2, 4, 1)]) is None


def test_each_size_asks_ray_for_its_own_and_gpus_that_would_be_idle_are_spread_over() -> None:
    config = loaded({HIDDEN: {32: {"gpus_per_trial": 0.5}}}, gpus_per_trial=0.25)
    small, large = (size for _, size in config.resources.sizes)
    placed = Placement(config, lambda: [host(1, 8, 2)])
    assert [placed.request(0, size)["resources"]["GPU"] for size in (small, large)] == [0.25, 0.5]
    few = loaded({HIDDEN: {32: {"gpus_per_trial": 0.5}}}, gpus_per_trial=0.25, concurrent_trials=2)
    placed = Placement(few, lambda: [host(1, 8, 2)])
    assert [placed.request(0, size)["resources"]["GPU"] for size in (small, large)] == [1.0, 1.0]


ONE, TWO, GPU = Claim({"CPU": 1}), Claim({"CPU": 2}), Claim({"CPU": 1, "GPU": 0.5})
OF_KIND = Claim({"CPU": 1, "GPU": 0.5, "accelerator_type:A100": 0.001})


def on(claim: Claim, number: int) -> Claim:
    return Claim(claim.bundle, claim.workers, f"id{number}")


@pytest.mark.parametrize(
    ("hosts", "running", "wanted", "room"),
    [
        ([host(1, 2)], [], TWO, True),
        ([host(1, 2)], [on(ONE, 1)], TWO, False),
        ([host(1, 2)], [on(ONE, 1)], ONE, True),
        ([host(1, 2)], [ONE, ONE], ONE, False),
        ([host(1, 2)], [TWO], ONE, False),
        ([host(1, 2), host(2, 2)], [on(ONE, 1), on(ONE, 2)], TWO, False),
        ([host(1, 2), host(2, 2)], [on(ONE, 2), on(ONE, 2)], TWO, True),
        ([host(1, 2), host(2, 2)], [ONE, on(ONE, 1)], TWO, True),
        ([host(1, 1)], [], TWO, False),
        ([], [], ONE, False),
        ([host(1, 8, 1)], [on(GPU, 1)], GPU, True),
        ([host(1, 8, 1)], [on(GPU, 1), on(GPU, 1)], GPU, False),
        ([host(1, 8, 2)], [on(GPU, 1), on(GPU, 1)], Claim({"CPU": 1, "GPU": 1}), True),
        ([host(1, 8, 1, "V100"), host(2, 8, 1, "A100")], [on(GPU, 2), on(GPU, 2)], OF_KIND, False),
        ([host(1, 8, 1, "V100"), host(2, 8, 1, "A100")], [on(GPU, 1), on(GPU, 1)], OF_KIND, True),
        ([host(1, 2), host(2, 2)], [on(ONE, 1)], Claim({"CPU": 1}, workers=3), True),
        ([host(1, 2), host(2, 1)], [on(ONE, 1)], Claim({"CPU": 1}, workers=3), False),
    ],
)
def test_there_is_room_for_a_job_where_others_leave_it(
    hosts: list[Host], running: list[Claim], wanted: Claim, room: bool
) -> None:
    assert has_room(hosts, running, wanted) is room


def test_a_claim_is_smaller_if_it_takes_less_of_something_and_more_of_nothing() -> None:
    assert ONE.is_smaller_than(TWO)
    assert not TWO.is_smaller_than(ONE)
    assert not ONE.is_smaller_than(ONE)
    assert not TWO.is_smaller_than(GPU)
    assert not GPU.is_smaller_than(TWO)
    assert ONE.is_smaller_than(Claim({"CPU": 1}, workers=2))


@pytest.mark.usefixtures("no_fsync")
def test_one_host_is_cleared_for_a_large_trial_of_no_more_small_ones_than_is_needed(tmp_path: Path) -> None:
    config = loaded({HIDDEN: {32: {"cpus_per_trial": 3}}})
    placed = Placement(config, lambda: [host(1, 4), host(2, 4), host(3, 2)])
    coordinator = Simulation(tmp_path, config, workers=9).coordinator
    jobs = Jobs(config=config, folder=RunFolder(tmp_path / "run"), shared={})
    plans = [plan for _ in range(9) if isinstance(plan := jobs.next_plan(coordinator), TrialPlan)]
    small, large = (size for _, size in config.resources.sizes)
    running = RunningJobs({f"t{number}": RunningJob(plan, small) for number, plan in enumerate(plans[:8])})
    for job, number in zip(running.values(), [1, 1, 1, 1, 2, 2, 2, 3], strict=True):
        job.asks(placed)
        job.node = f"id{number}"
    assert running.leave_room(placed)
    assert not any(running.makes_room(job, placed) for job in running.values())
    running.waiting.append(waiting := RunningJob(plans[8], large))
    waiting.asks(placed)
    assert not running.have_room_for(waiting, placed)

    def reported(name: str) -> bool:
        job = running[name]
        job.ends = job.ends or running.makes_room(job, placed)
        return job.ends

    assert not reported("t7"), "its host could not hold the large one"
    assert reported("t4")
    assert not reported("t0"), "another host is being cleared"
    assert reported("t5")
    assert not reported("t6"), "there is room when the two have ended"
    del running["t4"], running["t5"]
    assert running.have_room_for(waiting, placed)


def test_the_example_of_the_docs_is_a_configuration() -> None:
    text = (Path(__file__).parents[2] / "docs" / "resources.md").read_text(encoding="utf-8")
    block = text.partition("## More for the large model\n")[2].partition("```yaml\n")[2].partition("```")[0]
    given = YAML(typ="safe").load(block)["resources"]
    trial = {"model": {"width": {"choice": [16, 32, 64]}}, "optimizer": SCHEDULES, "batch_size": 16}
    resources = load_config(search_config(trial=trial, resources=given)).first.resources
    assert sizes_text(resources, [host(1, 8, 2)]) == (
        "8 with other values, 4 with model.width 32, 2 with model.width 64"
    )
    assert f"at once there are up to {sizes_text(resources, [host(1, 8, 2)])}" in text
