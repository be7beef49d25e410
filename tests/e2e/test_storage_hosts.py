"""Hosts that share no results: a storage alone carries checkpoints from one to the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hosts import cluster_of_hosts
from in_process import search_locally
from programs import write_config
from tiny_tasks import search_config

from search.study.reading import read_records

SECTIONS = {"budget": {"trials": 6, "max_virtual_epochs": 9}, "sampler": {"name": "random", "seed": 0}}


@pytest.mark.slow
def test_trials_go_on_on_other_hosts_from_what_the_storage_has(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shared = tmp_path_factory.mktemp("shared")
    config = write_config(shared, **search_config(storage=f"file://{shared}/storage", **SECTIONS))
    with cluster_of_hosts(["--num-cpus=1"], ["--num-cpus=1"], shared=shared) as hosts:
        results = "/tmp/results"  # each host has its own
        asked = [str(config), "--results", results, "--address", hosts.address]
        done = hosts.head.search(*asked, cwd=str(shared))
        assert done.returncode == 0, done.stdout + done.stderr
        copied = hosts.head.run("cp", "-r", f"{results}/digits", str(shared / "of-the-driver"))
        assert copied.returncode == 0, copied.stderr
        there = {
            name: hosts[name].run("find", results, "-name", "model.safetensors").stdout.split()
            for name in ("w1", "w2")
        }
        exported = hosts.head.search("export", f"{results}/digits", "--out", str(shared / "export"))
        assert exported.returncode == 0, exported.stdout + exported.stderr
    assert "the trial begins again" not in done.stdout
    assert all(there.values()), "both hosts trained"
    folder = shared / "of-the-driver"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "complete"
    found = {record.number: record for record in read_records(folder / "study.journal")}
    # What a trial has reached depends on who reported first; its values do not.
    search_locally(search_config(**SECTIONS, scheduler={"name": "none"}), results=shared / "expected")
    expected = read_records(shared / "expected/digits/study.journal")
    assert len(found) == len(expected) == 6
    for record in expected:
        values = found[record.number].values
        assert found[record.number].params == record.params
        assert values == record.values[: len(values)]
    assert max(record.depth for record in found.values()) == 9
    assert not list(Path(shared / "storage/digits/trials").rglob("*.partial"))
