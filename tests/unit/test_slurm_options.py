"""What `submit --slurm` takes: options of sbatch, of which some cannot be, and a time limit."""

from __future__ import annotations

import pytest

from search.errors import ConfigError
from search.slurm.options import SlurmOptions


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        SlurmOptions.parse(text).require_longer_than(300)
    return str(refused.value)


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        ("-t 90", 5400),
        ("-t90", 5400),
        ("-t 30:15", 1815),
        ("--time 4:00:00", 14_400),
        ("--time=2-12", 216_000),
        ("-t 1-2:30", 95_400),
        ("-t 1-2:30:05", 95_405),
        ("-t 10 --time=20", 1200),
        ("-t UNLIMITED", None),
    ],
)
def test_a_time_limit_is_read_in_all_of_slurms_forms(limit: str, seconds: float | None) -> None:
    assert SlurmOptions.parse(f"-p gpu {limit} --gres=gpu:4").limit_seconds() == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "-p gpu",
            "--slurm: has no time limit (-t), and the search is to end before it and to be requeued; add",
        ),
        ("-t soon", "--slurm: -t: received 'soon'; must be minutes, minutes:seconds, hours:minutes:seconds,"),
        ("-t 0", "--slurm: -t: received '0'; must be minutes"),
        ("-t", "--slurm: -t: received ''; must be minutes"),
        (
            "-t 10",
            "--slurm: -t 10 is 10 min 00 s, and the search is asked to end 5 min 00 s before; the limit",
        ),
        (
            "gpu -t 60",
            "--slurm: received 'gpu' in 'gpu -t 60'; must be options of sbatch, such as -t 4:00:00",
        ),
        ("-p 'gpu", '--slurm: received "-p \'gpu": No closing quotation; quote as in a shell'),
        ("-t 60 --array=1-4", "--slurm: --array: a search is one job: its trials run side by side"),
        ("-t 60 -a 1-4", "--slurm: --array: a search is one job"),
        (
            "-t 60 --signal=TERM@9",
            "--slurm: --signal: the search is asked to end by one of its own; --wind-down",
        ),
        ("-t 60 -o out.txt", "--slurm: --output: submit says where it is"),
        ("-t 60 --no-requeue", "--slurm: --no-requeue: give --no-requeue to submit itself"),
        ("-t 60 --arr=1-3", "--slurm: --array: a search is one job"),
        ("-t 60 --sig TERM@9", "--slurm: --signal: "),
        ("-Ha1-3 -t 60", "--slurm: --array: "),
        ("-HQkOsv -a 1-3 -t 60", "--slurm: --array: "),
        ("-sW -t 60", "--slurm: --wait: "),
        ("-t 60 --time-min=5", "--slurm: --time-min: the job could get a limit shorter"),
        ("-t 60 --test-only", "--slurm: --test-only: nothing would be submitted; give --print"),
        ("-t 60 -M far", "--slurm: --clusters: another cluster's job"),
        ("-t 60 --cluster=far", "--slurm: --clusters: another cluster's job"),
        ("-t 60 --batch=knl", "--slurm: --batch: the first node of the job"),
        ("-t 60 seg.sh", "--slurm: received 'seg.sh' in '-t 60 seg.sh'; must be options of sbatch"),
        ("--exclusive user -t 60", "--slurm: received 'user' in"),
        ("-t 60 -- -p gpu", "--slurm: received '--' in"),
        ("-t 60 -D /scratch", "--slurm: --chdir: the search runs in the folder where submit does"),
        ("-t 60 : -p other", "--slurm: `:` begins another part of a heterogeneous job"),
        (
            "-t 60 --comment='a\nb'",
            "--slurm: received '--comment=a\\nb', with a sign that no line of a script",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("--comment -oops", ["--comment -oops"]),
        ("-J -old", ["-J -old"]),
        ("-Jarray", ["-Jarray"]),
        ("-HJ -old --hold", ["-HJ -old", "--hold"]),
        ("--comm --array -s", ["--comm --array", "-s"]),
        (
            "--wait-all-nodes=1 --cluster-constraint a --exclusive",
            ["--wait-all-nodes=1", "--cluster-constraint a"],
        ),
        ("--export-file=e --time=60", ["--export-file=e", "--time=60"]),
        ("--of-a-later-slurm x --another -p gpu", ["--of-a-later-slurm x", "--another", "-p gpu"]),
    ],
)
def test_values_that_look_like_options_are_values(text: str, lines: list[str]) -> None:
    found = SlurmOptions.parse(text).lines()
    assert found[: len(lines)] == [f"#SBATCH {line}" for line in lines]


def test_a_time_limit_within_a_bundle_is_read_and_one_that_is_a_value_is_not() -> None:
    assert SlurmOptions.parse("-Ht60").limit_seconds() == 3600
    assert SlurmOptions.parse("-t 30 -J -t60").limit_seconds() == 1800


def test_a_script_has_one_option_with_its_value_in_each_line() -> None:
    options = SlurmOptions.parse("-p gpu -N 2 --gres=gpu:4 --comment='it is \"it\" # \\ here' -x w[1-3]")
    assert options.lines() == [
        "#SBATCH -p gpu",
        "#SBATCH -N 2",
        "#SBATCH --gres=gpu:4",
        '#SBATCH "--comment=it is \\"it\\" # \\\\ here"',
        "#SBATCH -x w[1-3]",
    ]
