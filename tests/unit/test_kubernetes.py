"""The RayJob of kubernetes/ has the fields of KubeRay's CRD, and runs what this program has."""

from __future__ import annotations

import copy
import json
import shlex
from typing import Any

import click
import jsonschema
import pytest
from programs import HELPERS, ROOT
from ruamel.yaml import YAML

from search.cli.main import cli

SCHEMA = json.loads((HELPERS / "rayjob_schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def rayjob() -> dict[str, Any]:
    with (ROOT / "kubernetes" / "rayjob.yaml").open(encoding="utf-8") as file:
        documents = list(YAML(typ="safe").load_all(file))
    (job,) = (each for each in documents if each["kind"] == "RayJob")
    return job


def test_the_manifest_fits_the_schema_that_kuberay_has_published(rayjob: dict[str, Any]) -> None:
    jsonschema.validate(rayjob, SCHEMA)
    for path in (["spec"], ["spec", "rayClusterSpec", "headGroupSpec"], ["spec", "rayClusterSpec"]):
        mistyped = copy.deepcopy(rayjob)
        place = mistyped
        for key in path:
            place = place[key]
        place["shutdownAfterJobFinish"] = True
        with pytest.raises(jsonschema.ValidationError, match="shutdownAfterJobFinish"):
            jsonschema.validate(mistyped, SCHEMA)


def test_its_entrypoint_is_a_search_on_the_cluster_that_runs_it(rayjob: dict[str, Any]) -> None:
    program, *words = shlex.split(rayjob["spec"]["entrypoint"])
    command = cli.commands["search"]
    with click.Context(command) as context:
        options, _, _ = command.make_parser(context).parse_args(words)
    assert (program, options["address"]) == ("tune-search", "auto")
    for group in groups(rayjob):
        pod = group["template"]["spec"]
        mounted = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert {options["results"], options["config"].rpartition("/")[0]} <= mounted
        assert {m["name"] for m in pod["containers"][0]["volumeMounts"]} == {
            v["name"] for v in pod["volumes"]
        }


def test_ray_is_that_of_the_image(rayjob: dict[str, Any]) -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"ray=={rayjob['spec']['rayClusterSpec']['rayVersion']}" in pinned


def test_every_worker_is_there_from_the_start(rayjob: dict[str, Any]) -> None:
    for group in rayjob["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]


def groups(rayjob: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = rayjob["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
