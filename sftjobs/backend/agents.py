"""Agent processes on this machine: start one at most once, tell it from another process with its pid, end it."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from sftjobs import names

# The shell writes its own pid and then becomes the agent: there is no moment in which an agent runs whose pid could
# be lost with the controller. `ln` fails if the file exists: of two starters of one agent, one goes on.
_BECOME_AGENT = """
folder=$1; shift
cd "$folder/volumes/scratch" || exit 126
echo $$ > "$folder/pid.$$" || exit 126
ln "$folder/pid.$$" "$folder/pid" 2> /dev/null; first=$?
rm -f "$folder/pid.$$"
[ $first = 0 ] || exit 0
exec "$@"
"""
_RESET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
"""Signals that the controller may ignore or handle; the agent starts with their defaults."""


def start(folder: Path, command: list[str], environ: dict[str, str]) -> int:
    """Start the agent of `folder`, detached: it survives the controller and its terminal. Returns its pid.

    If an agent has been started in this folder before, the new process ends at once with exit code 0.
    """
    log = str(folder / "output.log")
    return os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", _BECOME_AGENT, "sftjobs-agent", str(folder), *command],
        environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=_RESET,
    )


def is_alive(pid: int, scratch: Path) -> bool:
    """True if `pid` is the agent that works in `scratch`: the folder in its environment is its identity.

    Unlike a start time, it does not change with the clock, and it cannot survive a reboot.
    """
    for _ in range(5):
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            environ = process.environ()
        except psutil.Error:
            return False
        if environ:
            return environ.get(names.ENV_WORKDIR) == str(scratch)
        time.sleep(0.01)  # empty while the shell is being replaced by the agent
    return False


def ask_to_stop(pid: int) -> None:
    """TERM to the agent alone: it tells its ranks, and they save."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def kill(pid: int | None, scratch: Path) -> None:
    """End the agent and everything it started, also what it left behind when it was killed itself."""
    for process in list(_family(pid, scratch)):
        with suppress(psutil.Error):
            process.kill()


def _family(pid: int | None, scratch: Path) -> Iterator[psutil.Process]:
    if pid is not None and is_alive(pid, scratch):
        agent = psutil.Process(pid)
        yield agent
        with suppress(psutil.Error):
            yield from agent.children(recursive=True)
    ours = [process for process in psutil.process_iter() if _works_in(process, scratch)]
    yield from ours
    # Pids come round again, after a restart of the machine most of all: session `pid` is the agent's as long as
    # somebody of the agent's folder is in it, and may be a stranger's login otherwise.
    if pid is not None and any(_session(process) == pid for process in ours):
        yield from (process for process in psutil.process_iter() if _session(process) == pid)


def _works_in(process: psutil.Process, scratch: Path) -> bool:
    try:
        return bool(process.environ().get(names.ENV_WORKDIR) == str(scratch))
    except psutil.Error:
        return False


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def reap(pid: int) -> int | None:
    """Exit code of an ended child (negative: signal), None if it runs on or is not a child of this process."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if found else None
