"""Which executor a search runs on, and what is refused before anything starts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from search.errors import ConfigError
from search.run.executors.choose import executor_for


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"address": "ray://10.0.0.1:10001", "local": False},
            "address: received ray://10.0.0.1:10001; the program itself runs on a machine of the cluster",
        ),
        ({"address": "10.0.0.1:6379", "local": True}, "local: runs trials in this process, and address is"),
        (
            # Not `local: False`, as a test before this one may have left its Ray in the process.
            {"address": None, "local": True, "skip_bad_nodes": True},
            "skip_bad_nodes: leaves out hosts of a Ray cluster, and none is named; give its address too",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}") as error:
        executor_for(**asked)
    assert len(str(error.value).splitlines()) == 1


def test_the_commands_that_are_shown_have_the_options_of_the_cluster() -> None:
    executor = executor_for("auto", local=False, skip_bad_nodes=True)
    assert list(executor.flags) == ["--address", "auto", "--skip-bad-nodes"]
