"""The batch script of a search: Ray on its nodes, an end in time, and another start until it is complete."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.slurm.options import SlurmOptions, quoted

_ENOUGH_SECONDS = 60
"""That SLURM needs at least to end a job and to queue it again, and by which its signal may come early."""


@dataclass(frozen=True)
class Job:
    """What a batch script is made of."""

    run: Path
    """The folder of the run."""
    command: Sequence[str]
    """Of the search, from the program on."""
    first_only: Sequence[str]
    """Options of its first start alone."""
    options: SlurmOptions
    python: Path
    """The interpreter of the environment, which the nodes have at the same path."""
    working_folder: Path
    wind_down: float
    """Seconds before the limit at which the search is asked to end."""
    requeue: bool

    @property
    def folder(self) -> Path:
        """Where the script and its output are."""
        return self.run / "slurm"

    def output(self, job_id: str) -> Path:
        """What the job prints, in all of its starts."""
        return self.folder / f"{job_id}.out"


def batch_script(job: Job) -> str:
    """The script, which `sbatch` takes."""
    output = str(job.folder).replace("\\", "\\\\").replace("%", "%%")
    header = [
        "#!/bin/bash",
        f"#SBATCH {quoted(f'--job-name={job.run.name}')}",
        f"#SBATCH {quoted(f'--output={output}/%j.out')}",
        "#SBATCH --open-mode=append",
        f"#SBATCH --{'requeue' if job.requeue else 'no-requeue'}",
        f"#SBATCH --signal=B:USR1@{job.wind_down:.0f}",
        *job.options.lines(),
    ]
    patience = max(job.wind_down - _ENOUGH_SECONDS, job.wind_down / 2)
    known = {
        "HEADER": "\n".join(header),
        "WORKING_FOLDER": shlex.quote(str(job.working_folder)),
        "PYTHON": shlex.quote(str(job.python)),
        "RUN": shlex.quote(str(job.run)),
        "SEARCH": shlex.join(job.command),
        "FIRST_ONLY": _FIRST_ONLY.format(shlex.join(job.first_only)) if job.first_only else "",
        "PATIENCE": f"{patience:.0f}",
        "REQUEUE": "yes" if job.requeue else "",
    }
    text = _BODY
    for name, value in known.items():
        text = text.replace(f"@{name}@", value, 1)
    return text


_FIRST_ONLY = """\
if [ "${{SLURM_RESTART_COUNT:-0}}" -eq 0 ]; then search+=({}); fi
"""
_BODY = """\
@HEADER@

# A search that SLURM starts again until it is complete; `sbatch` with this file begins or continues it.
cd -- @WORKING_FOLDER@ || exit
python=@PYTHON@
run=@RUN@
requeue=@REQUEUE@
search=(@SEARCH@)
@FIRST_ONLY@ray_node=("$python" -P -m search.slurm.ray_node)
progress() { "$python" -P -m search.slurm.progress "$run"; }

why=    # the search is to end: limit, or asked
heard=0 # signals
pid=    # of the search

end_search() { if [ -n "$pid" ]; then kill -TERM "$pid" 2>/dev/null; fi; }
# Near the limit SLURM tells this script alone. A virtual epoch that takes too long is begun again next time.
near_limit() {
    heard=$((heard + 1)) why=limit
    echo "$(date '+%F %T'): the time limit is near, the search is asked to end"
    end_search
    if [ -n "$pid" ]; then { timeout @PATIENCE@ tail --pid="$pid" -f /dev/null || end_search; } & fi
}
# scancel and a requeue tell all processes, the witness too; `scancel --batch --signal=TERM` this script only.
asked() {
    heard=$((heard + 1)) why=asked
    sleep 1
    if kill -0 "$witness" 2>/dev/null; then end_search; fi
}
sleep infinity &
witness=$!
trap near_limit USR1
trap asked TERM
workers= # srun, which would kill Ray if it were told to end
end_all() {
    if [ -n "$workers" ]; then
        scancel --signal=TERM "$SLURM_JOB_ID.0" 2>/dev/null
        timeout 30 tail --pid="$workers" -f /dev/null
        workers=
    fi
    kill $(jobs -p) 2>/dev/null
    wait
}
trap end_all EXIT

echo "$(date '+%F %T'): job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1)), on $SLURM_JOB_NODELIST"
before=$(progress) || exit
if [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then
    # A Ray of this job: its token keeps others out.
    RAY_AUTH_TOKEN=$("$python" -c 'import secrets; print(secrets.token_hex(32))') || exit
    export RAY_AUTH_TOKEN RAY_AUTH_MODE=token
    address=$("${ray_node[@]}" address) || exit
    "${ray_node[@]}" head "$address" &
    others=$((SLURM_JOB_NUM_NODES - 1))
    # All CPUs of a node are for trials, and not those of one task.
    srun --nodes=$others --ntasks=$others --ntasks-per-node=1 --cpu-bind=none --relative=1 \\
        --kill-on-bad-exit=0 "${ray_node[@]}" worker "$address" &
    workers=$!
    "${ray_node[@]}" wait "$address" "$SLURM_JOB_NUM_NODES" || exit
    search+=(--address "$address")
fi

code=143
if [ -z "$why" ]; then
    "${search[@]}" &
    pid=$!
    while last=$heard; wait "$pid"; code=$?; [ "$heard" != "$last" ]; do :; done
    pid=
fi

if [ "$why" = limit ] && [ -n "$requeue" ] && { [ "$code" -eq 143 ] || [ "$code" -eq 130 ]; }; then
    if [ "$(progress)" = "$before" ]; then
        echo "no virtual epoch ended within the time limit, so this job does not start again:" \\
            "give a longer -t, or a shorter virtual_epoch" >&2
    else
        end_all
        trap '' TERM # of the requeue itself
        echo "$(date '+%F %T'): the job is queued again, and its next start goes on with the search"
        scontrol requeue "$SLURM_JOB_ID" && exit
        echo "SLURM does not start this job again; the same tune-search submit goes on with the search" >&2
    fi
fi
if [ "$why" = asked ]; then echo "the same tune-search submit goes on with the search"; fi
exit "$code"
"""
