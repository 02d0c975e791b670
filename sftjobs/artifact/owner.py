"""Which process holds a LEASE, in a way that tells it from a later process with the same pid."""

import os
import platform
from functools import cache
from pathlib import Path

import psutil

from sftjobs.model import Document

SAME_START_S = 2.0
"""Two readings of one process's start time may differ by this much: the kernel derives it from the wall clock."""


class Owner(Document):
    """A process, and for people what it does."""

    host: str
    boot_id: str
    """Of the kernel; '' where there is none, then nobody can tell from outside whether the process lives."""
    pid_namespace: str
    """Containers on one host count their pids apart."""
    pid: int
    start_time: float
    """Unix time."""
    start_ticks: int | None = None
    """The same in clock ticks since boot, which no change of the clock moves; None where the kernel does not say."""
    run_id: str
    what: str
    """E.g. `agent of train, attempt 0`."""


def this_owner(run_id: str, what: str) -> Owner:
    """The process that calls."""
    return Owner(
        host=platform.node(),
        boot_id=_boot_id(),
        pid_namespace=_pid_namespace(),
        pid=os.getpid(),
        start_time=psutil.Process().create_time(),
        start_ticks=_start_ticks(os.getpid()),
        run_id=run_id,
        what=what,
    )


def owner_alive(owner: Owner) -> bool | None:
    """Does the process live? None if this process cannot know: another host, another boot, another container."""
    here = (platform.node(), _boot_id(), _pid_namespace())
    if "" in here or (owner.host, owner.boot_id, owner.pid_namespace) != here:
        return None
    try:
        process = psutil.Process(owner.pid)
        return _same_start(process, owner) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return None


def _same_start(process: psutil.Process, owner: Owner) -> bool:
    ticks = _start_ticks(process.pid)
    if ticks is not None and owner.start_ticks is not None:
        return ticks == owner.start_ticks
    return abs(process.create_time() - owner.start_time) <= SAME_START_S


def _start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat, see proc(5); the name before it may hold spaces and brackets."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@cache
def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
