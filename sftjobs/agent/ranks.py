"""The ranks of this node: start them with the environment of torchrun, signal them, see how they end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sftjobs import names
from sftjobs.agent.last_words import LastWords
from sftjobs.agent.logs import Log
from sftjobs.agent.whereabouts import Place
from sftjobs.agent.workdir import Workdir
from sftjobs.error_file import make_room
from sftjobs.phases import read_mark
from sftjobs.plan.types import StagePlan

LAUNCH = Path(__file__).with_name("launch.py")
POLL_S = 0.02
REAP_S = 30.0
"""A process that waits for a broken device or file system survives KILL; its agent must still say how it ended."""


@dataclass
class Rank:
    """One process of the program."""

    rank: int
    process: "subprocess.Popen[bytes]"
    error_file: Path
    phase_file: Path
    words: LastWords = field(default_factory=LastWords)


class Ranks:
    """All ranks of this node. Each leads a process group of its own, so that its helpers end with it."""

    def __init__(self, ranks: list[Rank]) -> None:
        self.ranks = ranks

    def codes(self) -> list[int | None]:
        """Exit code per rank, negative for a signal; None while it runs."""
        return [item.process.poll() for item in self.ranks]

    def running(self) -> bool:
        return any(code is None for code in self.codes())

    def failed(self) -> bool:
        """True if any rank has ended with something else than 0."""
        return any(code not in (None, 0) for code in self.codes())

    def places(self) -> list[Place]:
        """Where each rank is that has said so."""
        now = time.monotonic()
        marks = [(item.rank, read_mark(item.phase_file)) for item in self.ranks]
        return [
            Place(rank=rank, phase=mark.phase, step=mark.step, count=mark.count, for_s=now - mark.since)
            for rank, mark in marks
            if mark is not None
        ]

    def signal(self, number: int) -> None:
        """To the ranks alone: their helpers (data loaders) end with them."""
        for item in self.ranks:
            if item.process.poll() is None:
                item.process.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """True if all have ended within the time."""
        deadline = time.monotonic() + timeout_s
        while self.running():
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True

    def kill(self) -> list[int]:
        """End every rank and all that is left in its process group; returns ranks that live on in spite of it."""
        for item in self.ranks:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(item.process.pid, signal.SIGKILL)
        self.wait(REAP_S)
        return [item.rank for item in self.ranks if item.process.poll() is None]


@dataclass(frozen=True)
class Meeting:
    """Where rank 0 listens for the others."""

    address: str
    port: int


def start(
    plan: StagePlan,
    node: int,
    workdir: Workdir,
    resume: Path | None,
    log: Log,
    environ: Mapping[str, str],
    meeting: Meeting,
) -> Ranks:
    """Start `python -m <program>` for every rank of a node. From the main thread: the ranks are tied to its life."""
    world = plan.resources.world_size
    command = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), sys.executable, "-m", plan.program]
    started: list[Rank] = []
    for local, rank in enumerate(plan.resources.ranks_of(node)):
        error_file, phase_file = workdir.error_file(rank), workdir.phase_file(rank)
        make_room(error_file)
        process = subprocess.Popen(
            command,
            cwd=workdir.root,
            env={
                **_inherited(environ),
                **_contract(workdir, resume),
                **_torchrun(plan, node, local, meeting),
                "TORCHELASTIC_ERROR_FILE": str(error_file),
                names.ENV_PHASE: str(phase_file),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        item = Rank(rank, process, error_file, phase_file)
        started.append(item)
        assert process.stdout is not None
        assert process.stderr is not None
        prefix = f"[rank {rank}] " if world > 1 else ""
        log.follow(process.stdout, 1, prefix)
        log.follow(process.stderr, 2, prefix, item.words.hear)
    return Ranks(started)


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The agent's own environment, without what a program must not act on."""
    return {key: value for key, value in environ.items() if key not in (names.ENV_RESUME, names.ENV_CRASH_AT)}


def _contract(workdir: Workdir, resume: Path | None) -> dict[str, str]:
    contract = {
        names.ENV_PLAN: str(workdir.plan),
        names.ENV_INPUTS: str(workdir.inputs),
        names.ENV_OUTPUT: str(workdir.output),
        names.ENV_CHECKPOINTS: str(workdir.checkpoints),
        names.ENV_PROGRESS: str(workdir.progress),
    }
    return contract if resume is None else {**contract, names.ENV_RESUME: str(resume)}


def _torchrun(plan: StagePlan, node: int, local: int, meeting: Meeting) -> dict[str, str]:
    """What torchrun sets, and what makes results depend on the plan instead of the machine."""
    return {
        "RANK": str(plan.resources.ranks_of(node)[local]),
        "LOCAL_RANK": str(local),
        "WORLD_SIZE": str(plan.resources.world_size),
        "LOCAL_WORLD_SIZE": str(plan.resources.processes_per_node),
        "GROUP_RANK": str(node),
        "MASTER_ADDR": meeting.address,
        "MASTER_PORT": str(meeting.port),
        "OMP_NUM_THREADS": str(plan.resources.threads_per_process),
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads of two ranks on the same cores cost a factor
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def free_port() -> int:
    """A port where nobody listens on this machine now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
