"""Each change that search/ray/patches.py makes to Ray does what it is made for in the installed Ray."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from patience import PATIENCE
from programs import ROOT
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune import Trainable
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial

from search.ray.patches import (
    CHECKED,
    GCS,
    OUT_OF_MEMORY,
    VITAL,
    HeadLine,
    forget,
    repair_tune,
    save_at_end,
    trials_take_waiting_workers,
    tune_keeps_nothing,
)

STARTING = """
import logging, os, sys
from pathlib import Path
import ray
from search.ray.patches import INIT_LOGGER, init_local_ray

heard = []
handler = logging.Handler()
handler.emit = heard.append
logging.getLogger(INIT_LOGGER).addHandler(handler)
logging.getLogger(INIT_LOGGER).setLevel(logging.INFO)
init_local_ray(sys.argv[1], 2, ["colorsys"])

@ray.remote
def imported():
    return "colorsys" in sys.modules


@ray.remote
def hidden():
    import mailbox, search
    return mailbox.__file__.startswith(os.getcwd()), search.__file__


def commands():
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            session = int(stat.read_text().rpartition(")")[2].split()[3])
            if session == os.getsid(0) and stat.parent.name != str(os.getpid()):
                yield (stat.parent / "cmdline").read_text()
        except OSError:
            continue

started = "\\n".join(commands())
print("raylet" in started, "monitor.py" in started.replace("log_monitor.py", ""), "dashboard.py" in started)
print(Path(ray._private.worker._global_node.get_session_dir_path()).is_relative_to(sys.argv[1]))
print(ray.get(imported.remote()))
print(*ray.get(hidden.remote()))
print(any("Started a local Ray instance" in record.getMessage() for record in heard))
"""


def test_the_version_is_one_that_was_checked() -> None:
    assert ray.__version__ in CHECKED, "run this file's tests with it, and add it to CHECKED"


def test_a_local_ray_starts_no_unused_process_and_its_workers_have_imported_what_is_named(
    tmp_path: Path,
) -> None:
    # A library's name in the current folder, which comes first in the search path of this driver alone.
    (tmp_path / "mailbox.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", STARTING, "/tmp/" + tmp_path.name[-8:] + "-ray"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        start_new_session=True,
    )
    processes, in_folder, imported, hidden, logged = done.stdout.splitlines()[-5:]
    assert processes == "True False False"
    assert (in_folder, imported, logged) == ("True", "True", "True")
    assert hidden == f"False {ROOT / 'search/__init__.py'}"


def test_trials_take_workers_that_wait_where_these_have_tunes_variables(ray_session: None) -> None:
    def variables() -> dict[str, str]:
        made = class_cache._ActorClassCache().get(Trainable)
        return made._default_options["runtime_env"].get("env_vars", {})  # type: ignore[no-any-return]

    before = variables()
    assert before["PL_DISABLE_FORK"] == "1"
    with trials_take_waiting_workers():
        assert variables() == {}
    assert variables() == before


def test_no_credentials_are_handed_to_trials() -> None:
    repair_tune()
    assert class_cache.ENV_VARS_TO_PROPAGATE
    for part in ("SECRET", "TOKEN", "KEY"):
        assert not [name for name in class_cache.ENV_VARS_TO_PROPAGATE if part in name]


def test_a_process_that_ray_ends_for_its_memory_is_one_that_died() -> None:
    repair_tune()
    repaired = RayActorManager._actor_task_failed
    repair_tune()
    assert RayActorManager._actor_task_failed is repaired
    told: list[Exception] = []
    actor = SimpleNamespace(actor_id=1, _on_error=lambda actor, error: told.append(error))
    task = SimpleNamespace(_tracked_actor=actor, _on_error=None)
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    with pytest.raises(RuntimeError, match="unexpected exception"):
        repaired.__wrapped__(manager, task, OutOfMemoryError("700 MB"))  # else there is nothing to repair
    repaired(manager, task, OutOfMemoryError("700 MB"))
    (error,) = told
    assert isinstance(error, RayActorError)
    assert OUT_OF_MEMORY in str(error)


def test_a_trial_that_is_saved_is_not_asked_to_save() -> None:
    trial = Trial("trial", stub=True)
    for needed in (False, True):
        save_at_end(trial, needed=needed)
        assert trial.checkpoint_at_end is needed


def test_results_of_a_job_that_has_ended_are_let_go() -> None:
    trial = Trial("trial", stub=True)
    trial._default_result_or_future = {"pid": 1}
    trial.update_last_result({"value": 0.5, "training_iteration": 1})
    assert trial.last_result["value"] == 0.5
    assert trial.metric_analysis["value"]["max"] == 0.5
    assert "value" in trial.metric_n_steps
    forget(trial)
    assert "value" not in trial.last_result
    assert (trial.metric_analysis, trial.metric_n_steps) == ({}, {})


def test_tune_keeps_nothing_of_a_search_and_all_of_what_others_run(tmp_path: Path, ray_session: None) -> None:
    def fit(name: str) -> tuple[Any, list[str]]:
        config = tune.RunConfig(name=name, storage_path=str(tmp_path), verbose=0)
        result = tune.Tuner(_Empty, run_config=config).fit()
        return result, [path.name for path in (tmp_path / name).glob("experiment_state*")]

    with tune_keeps_nothing():
        assert fit("ours") == (None, [])
    result, states = fit("theirs")
    assert len(result) == 1
    assert len(states) == 1


class _Empty(Trainable):
    def step(self) -> dict[str, Any]:
        return {"done": True}


def test_what_sends_a_token_is_there() -> None:
    """That a cluster with tokens is joined, and one without, is tested in test_faults_ray.py."""
    from ray._private.authentication.authentication_token_setup import (
        maybe_enable_token_auth_if_token_available as send_token,
    )
    from ray._raylet import GcsClient

    assert "warn_if_disabled" in inspect.signature(send_token).parameters
    assert callable(GcsClient)


def test_a_head_gives_a_sign_of_life_and_the_nodes_that_are_to_go(ray_session: None) -> None:
    """That silence and a new head are noticed, and nodes that are drained, is tested on hosts."""
    line = HeadLine(ray.get_runtime_context().gcs_address)
    assert line.ask(PATIENCE) is HeadLine.ANSWERS
    assert line.draining == set()


def test_what_tells_that_ray_is_dead_is_there() -> None:
    """That its death is noticed is tested in test_faults_groups.py."""
    from ray._private import ray_constants, worker
    from ray._private.node import Node

    assert callable(Node.dead_processes)
    assert callable(Node.is_head)
    assert callable(Node.get_logs_dir_path)
    assert hasattr(worker, "_global_node")
    assert ray_constants.PROCESS_TYPE_GCS_SERVER == GCS
    assert ray_constants.PROCESS_TYPE_RAYLET in VITAL
