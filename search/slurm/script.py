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
    only_shown: bool = False
    """Nobody has made the run's folder when the job begins."""

    @property
    def folder(self) -> Path:
        """Where the script and its output are."""
        return self.run / "slurm"

    def output(self, job_id: str) -> Path:
        """What the job prints, in all of its starts; SLURM makes no folder for it."""
        if self.only_shown:
            return self.working_folder / f"{self.run.name}-{job_id}.out"
        return self.folder / f"{job_id}.out"


def batch_script(job: Job) -> str:
    """The script, which `sbatch` takes."""
    output = str(job.output("%j")).replace("\\", "\\\\").replace("%", "%%")
    before, _, after = output.rpartition("%%j")
    header = [
        "#!/bin/bash",
        f"#SBATCH {quoted(f'--job-name={job.run.name}')}",
        f"#SBATCH {quoted(f'--output={before}%j{after}')}",
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
        "WIND_DOWN": f"{job.wind_down:.0f}",
        "REQUEUE": "yes" if job.requeue else "",
    }
    text = _BODY
    for name, value in known.items():
        text = text.replace(f"@{name}@", value, 1)
    return text


_FIRST_ONLY = """\
if [ ! -e "$mark.begun" ]; then search+=({}); fi
"""
_BODY = """\
@HEADER@

# A search that SLURM starts again until it is complete; `sbatch` with this file begins or continues it.
cd -- @WORKING_FOLDER@ || exit
python=@PYTHON@
run=@RUN@
requeue=@REQUEUE@
mkdir -p -m 700 -- "$run" && mkdir -p -- "$run/slurm" || exit
mark=$run/slurm/$SLURM_JOB_ID # of what its starts have to know of one another
search=(@SEARCH@)
@FIRST_ONLY@ray_node=("$python" -P -m search.slurm.ray_node)
progress() { "$python" -P -m search.slurm.progress "$run"; }
say() { echo "$(date '+%F %T'): $*"; }

why=    # the search is to end: limit, or asked; the first reason stays
near=   # the limit, in seconds of this script
heard=0 # signals
pid=    # of the program that they are for
told=0  # how often that one was to be told; a second time would end it before it has saved
watcher=

tell() { if [ -n "$pid" ] && ((told++ == 0)); then kill -TERM "$pid" 2>/dev/null; fi; }
# A virtual epoch that takes too long is begun again next time.
watch() {
    if [ -z "$pid" ] || [ -n "$watcher" ]; then return; fi
    { timeout @PATIENCE@ tail --pid="$pid" -f /dev/null || kill -TERM "$pid" 2>/dev/null; } &
    watcher=$!
}
# Near the limit SLURM tells this script alone.
near_limit() {
    heard=$((heard + 1)) near=${near:-$SECONDS}
    if [ -z "$why" ]; then
        why=limit
        tell
    fi
    watch
    say "the time limit is near, the search is asked to end"
}
# scancel and a requeue tell all processes, the witness too; `scancel --batch --signal=TERM` this script only.
asked() {
    heard=$((heard + 1))
    if [ "$why" = limit ] && [ $((SECONDS - near)) -lt @WIND_DOWN@ ] && [ -n "$requeue" ]; then
        requeue= # somebody's wish: SLURM itself says it at the limit
        say "the job is told to end, so it is not queued again; the same tune-search submit goes on"
    fi
    if [ -n "$why" ]; then return; fi
    why=asked
    sleep 1
    if kill -0 "$witness" 2>/dev/null; then tell; elif [ -n "$pid" ]; then told=1; fi
    say "the job is told to end"
}
# Whatever needs long runs so: behind a program in the foreground a signal would wait for its end.
attend() {
    "$@" &
    pid=$!
    if [ -n "$why" ]; then tell; fi
    if [ -n "$near" ]; then watch; fi
    while last=$heard; wait "$pid"; code=$?; [ "$heard" != "$last" ]; do :; done
    pid=
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
    local end=$((SECONDS + 20))
    while kill -0 $(jobs -p) 2>/dev/null && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
    kill -KILL $(jobs -p) 2>/dev/null
}
trap end_all EXIT
queue_again() {
    end_all
    trap '' TERM # of the requeue itself
    say "the job is queued again, and its next start goes on with the search"
    scontrol requeue "$SLURM_JOB_ID" && exit
    echo "SLURM does not start this job again; the same tune-search submit goes on with the search" >&2
}
# One more line in such a file of this job; fails where that cannot be written.
count() { echo >>"$mark.$1" && times=$(wc -l <"$mark.$1"); }
# A node or a file system may be out of order for a while, and the search has run before.
unprepared() {
    code=$1
    if [ -z "$why" ] && [ -n "$requeue" ] && [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] && count unprepared; then
        echo "the search could not begin, $times in a row; the job is queued again 3 times at most" >&2
        if [ "$times" -le 3 ]; then queue_again; fi
    fi
    exit "$code"
}

say "job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1)), on $SLURM_JOB_NODELIST"
echo "$SLURM_JOB_ID" >"$mark.id" && mv -- "$mark.id" "$run/slurm/job_id" || exit
before=$(progress) || unprepared $?
if [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then
    # A Ray of this job: its token keeps others out.
    RAY_AUTH_TOKEN=$("$python" -c 'import secrets; print(secrets.token_hex(32))') || unprepared $?
    export RAY_AUTH_TOKEN RAY_AUTH_MODE=token
    address=$("${ray_node[@]}" address) || unprepared $?
    "${ray_node[@]}" head "$address" &
    others=$((SLURM_JOB_NUM_NODES - 1))
    # All CPUs and GPUs of a node are for trials, and not those of one task: srun would read what the job's
    # own tasks were to have. The token has to arrive also where the job was submitted with --export=NONE.
    env -u SLURM_GPUS -u SLURM_GPUS_PER_TASK -u SLURM_GPUS_PER_SOCKET -u SLURM_GPU_BIND \\
        -u SLURM_CPUS_PER_TASK -u SLURM_TRES_PER_TASK -u SLURM_NTASKS_PER_NODE -u SLURM_NTASKS_PER_GPU \\
        srun --export=ALL --nodes=$others --ntasks=$others --ntasks-per-node=1 --cpu-bind=none --relative=1 \\
        --kill-on-bad-exit=0 "${ray_node[@]}" worker "$address" &
    workers=$!
    if [ -z "$why" ]; then
        attend "${ray_node[@]}" wait "$address" "$SLURM_JOB_NUM_NODES"
        if [ -z "$why" ] && [ "$code" -ne 0 ]; then unprepared "$code"; fi
    fi
    search+=(--address "$address")
fi

code=143
if [ -z "$why" ]; then
    rm -f -- "$mark.unprepared"
    : >"$mark.begun" || exit
    attend "${search[@]}"
fi

if [ "$why" = limit ] && [ -n "$requeue" ] && { [ "$code" -eq 143 ] || [ "$code" -eq 130 ]; }; then
    if [ "$(progress)" != "$before" ]; then
        rm -f -- "$mark.unmoved"
        queue_again
    elif ! count unmoved || [ "$times" -gt 1 ]; then
        echo "no virtual epoch ended within the time limit, two starts in a row, so this job does not" \\
            "start again: give a longer -t, or a shorter virtual_epoch" >&2
    else
        echo "no virtual epoch ended within the time limit: if the next start does no better, it is the" \\
            "last one; a longer -t, or a shorter virtual_epoch, is the way out" >&2
        queue_again
    fi
fi
if [ "$why" = asked ]; then echo "the same tune-search submit goes on with the search"; fi
exit "$code"
"""
