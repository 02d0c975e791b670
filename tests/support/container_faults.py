"""Faults inside a container that runs, through the kernel of this machine and `kubectl exec`.

The node of the lab (and of kind) is this machine: the processes of its containers can be seen from here.
"""

import contextlib
from pathlib import Path
from typing import Literal

import psutil

from sftjobs import names
from tests.support.cluster_run import ClusterRun

Victim = Literal["agent", "rank"]
_HOG = """\
import os, sys, time
hogs = []
while os.path.exists(f"/proc/{sys.argv[1]}") and len(hogs) < 400:
    hog = os.fork()
    if hog == 0:
        kept = b"x" * (64 << 20)
        time.sleep(600)
    hogs.append(hog)
    time.sleep(0.03)
for hog in hogs:
    os.kill(hog, 9)
"""
"""Many small processes take memory until the one that is named is gone: none of them is the kernel's first choice."""


def agent_of(run: ClusterRun, stage: str) -> psutil.Process:
    """Process 1 of the container of the stage's newest attempt."""
    job = run.whole.attempts(stage, run.name)[-1].intent.job
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environ = process.environ()
            ours = environ.get(names.ENV_JOB_NAME) == job and run.whole.store.uri in environ.get(names.ENV_STORE, "")
            if ours and _pid_inside(process.pid) == 1:
                return process
    raise AssertionError(f"no process of {job} on this machine")


def rank_of(run: ClusterRun, stage: str) -> psutil.Process:
    """The child of the agent with the most memory."""
    return max(agent_of(run, stage).children(), key=lambda process: int(process.memory_info().rss))


def kill_rank(run: ClusterRun, stage: str, rank: int) -> None:
    """KILL to one rank of the newest attempt, whichever pod it is in."""
    ranks_of(run, stage)[rank].kill()


def ranks_of(run: ClusterRun, stage: str) -> dict[int, psutil.Process]:
    """The ranks of the newest attempt in all its pods."""
    found = {}
    job = run.whole.attempts(stage, run.name)[-1].intent.job
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environ = process.environ()
            ours = environ.get(names.ENV_JOB_NAME) == job and run.whole.store.uri in environ.get(names.ENV_STORE, "")
            if ours and "RANK" in environ and process.status() != psutil.STATUS_ZOMBIE:
                found[int(environ["RANK"])] = process
    return found


def _pid_inside(pid: int) -> int:
    """The last number is that of the innermost pid namespace (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("NSpid:"))
    return int(line.split()[-1])


def run_out_of_memory(run: ClusterRun, stage: str, victim: Victim) -> None:
    """Fill the container until the kernel kills the victim: the rank alone, or process 1 and with it all others.

    Which process the kernel takes is decided by its score, its size and an offset, so the victim's offset is raised;
    that of all others is low enough if the pod requests some GiB. Where one process takes the whole container with it
    (cgroup v2 with memory.oom.group), both faults are the same.
    """
    pod = run.running_pod(stage)
    process = agent_of(run, stage) if victim == "agent" else rank_of(run, stage)
    Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000", encoding="ascii")
    run.exec(pod, "python", "-c", _HOG, str(_pid_inside(process.pid)), check=False)
    process.wait(30)


def flood_log(run: ClusterRun, stage: str, megabytes: int) -> None:
    """Write lines to the rank's own standard output, as a program that logs too much does."""
    pod, rank = run.running_pod(stage), _pid_inside(rank_of(run, stage).pid)
    script = f"yes 'one more line of a program that says too much' | head -c {megabytes}000000"
    run.exec(pod, "sh", "-c", f"{script} > /proc/{rank}/fd/1", timeout_s=300)


def fill_scratch(run: ClusterRun, stage: str, mebibytes: int) -> None:
    """Write to the scratch volume until the kubelet ends the pod."""
    pod = run.running_pod(stage)
    target = f"{names.SCRATCH_MOUNT}/too-much"
    run.exec(pod, "dd", "if=/dev/zero", f"of={target}", "bs=1M", f"count={mebibytes}", check=False, timeout_s=180)
