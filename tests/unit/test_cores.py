"""The cores that a process may use: affinity, and the limits of its control groups in both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainables.process import cores
from trainables.process.cores import num_cores

V2, V1 = "0::/box/inner\n", "4:cpu,cpuacct:/box\n3:memory:/box\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        (V2, {"box/inner/cpu.max": "max 100000"}, 8),
        (V2, {"box/inner/cpu.max": "150000 100000"}, 1),
        (V2, {"box/inner/cpu.max": "max 100000", "box/cpu.max": "300000 100000"}, 3),
        (V2, {"cpu.max": "50000 100000"}, 1),  # inside a container its own group is at the top
        (
            V1,
            {"cpu,cpuacct/box/cpu.cfs_quota_us": "400000", "cpu,cpuacct/box/cpu.cfs_period_us": "100000"},
            4,
        ),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "200000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 2),
        (V1, {"cpu,cpuacct/box/cpu.cfs_quota_us": "-1", "cpu,cpuacct/box/cpu.cfs_period_us": "100000"}, 8),
        (V2, {"box/cpu.max": "nonsense"}, 8),
        ("", {}, 8),
    ],
)
def test_the_smallest_limit_of_all_groups_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, limits: dict[str, str], expected: int
) -> None:
    for name, text in limits.items():
        file = tmp_path / "limits" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    (tmp_path / "cgroup").write_text(groups)
    monkeypatch.setattr(cores, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "_LIMITS", tmp_path / "limits")
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert num_cores() == expected


def test_without_proc_the_affinity_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_GROUPS", Path("/not/there"))
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: {1, 5}, raising=False)
    assert num_cores() == 2


def test_what_slurm_has_given_counts_on_its_nodes_and_not_in_a_shell_of_salloc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cores, "_GROUPS", Path("/not/there"))
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "3")
    monkeypatch.delenv("SLURMD_NODENAME", raising=False)
    assert num_cores() == 8
    monkeypatch.setenv("SLURMD_NODENAME", "w1")
    assert num_cores() == 3
