"""What the agent sees of ranks that end at an awkward moment."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sftjobs.agent.classify import classify
from sftjobs.agent.group.leader import Leader
from sftjobs.agent.heartbeat import Heart
from sftjobs.agent.logs import Log
from sftjobs.agent.progress import Progress
from sftjobs.agent.ranks import Rank, Ranks
from sftjobs.agent.stop import Stop
from sftjobs.agent.supervise import Outcome, Supervisor
from sftjobs.plan.types import Operation
from sftjobs.store.folder import FolderStore


class EndsAfterTheFirstLook(Ranks):
    """A rank that ends right after somebody saw it running."""

    def codes(self) -> list[int | None]:
        found = super().codes()
        for item in self.ranks:
            if item.process.stdin is not None:
                item.process.stdin.close()
            item.process.wait()
        return found


class EndsAsAPeerAsksToStop(EndsAfterTheFirstLook):
    """A rank that has saved because the ranks of another node were asked to, before its own agent has looked again."""

    stop: Stop

    def codes(self) -> list[int | None]:
        self.stop.request()
        return super().codes()


class Unkillable(subprocess.Popen[bytes]):
    """As a process that waits for a GPU which is not there any more: the signal arrives, and it stays."""

    gone = False

    def poll(self) -> int | None:
        return super().poll() if self.gone else None


def supervisor(
    ranks: Ranks, tmp_path: Path, stop: Stop | None = None, say: Callable[[bytes], None] = len
) -> Supervisor:
    store, progress = FolderStore(tmp_path / "store"), Progress(tmp_path / "progress.jsonl")
    log = Log([], say)
    heart, alone = Heart(store, "heartbeat", progress), Leader(1, "", 0, log.say, lambda: None)
    return Supervisor(ranks, 1, Operation(), progress, stop or Stop(), lambda: False, heart, log, alone)


def ending_with(code: int, tmp_path: Path) -> Rank:
    """A process that waits until its input is closed."""
    command = ["sh", "-c", f"read line; exit {code}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)
    return Rank(0, process, tmp_path / "error.json", tmp_path / "phase.json")


def watched(found: Supervisor) -> Outcome:
    outcome = found.watch()
    found.heart.close("done")
    return outcome


def test_a_rank_that_ends_between_two_looks_did_not_end_well(tmp_path: Path) -> None:
    outcome = watched(supervisor(EndsAfterTheFirstLook([ending_with(20, tmp_path)]), tmp_path))
    assert [end.code for end in outcome.ends] == [20]


def test_a_stop_of_a_peer_and_the_end_in_the_same_moment(tmp_path: Path) -> None:
    """It stopped on request, which costs nothing."""
    ranks, stop = EndsAsAPeerAsksToStop([ending_with(20, tmp_path)]), Stop()
    ranks.stop = stop
    outcome = watched(supervisor(ranks, tmp_path, stop))
    assert outcome.stopping
    found = classify(outcome.ends, stopping=outcome.stopping, oom=False)
    assert found is not None
    assert found.failure == "stopped"


def test_a_rank_that_cannot_be_ended_does_not_keep_its_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sftjobs.agent.ranks.REAP_S", 0.2)
    process = Unkillable(["sleep", "600"], process_group=0)
    said: list[bytes] = []
    stop = Stop()
    stop.request(signal.SIGINT)
    stop.request(signal.SIGINT)  # a person who does not want to wait
    found = supervisor(Ranks([Rank(0, process, tmp_path / "error", tmp_path / "phase")]), tmp_path, stop, said.append)
    outcome = watched(found)
    assert [end.code for end in outcome.ends] == [-15]
    assert b"rank 0 cannot be ended: it waits for a device or a file system" in b"".join(said)
    process.gone = True
    assert process.wait() < 0
