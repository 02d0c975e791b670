"""The upload of checkpoints beside the program, and what happens when the LEASE is lost."""

import threading
import time
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.agent import saver as saver_module
from sftjobs.agent.group.leader import Leader
from sftjobs.agent.heartbeat import Heart
from sftjobs.agent.logs import Log
from sftjobs.agent.progress import Progress
from sftjobs.agent.ranks import Meeting, free_port, start
from sftjobs.agent.saver import Saver
from sftjobs.agent.stop import Stop
from sftjobs.agent.supervise import Supervisor
from sftjobs.agent.workdir import Workdir
from sftjobs.artifact import checkpoints
from sftjobs.artifact.checkpoints import Place
from sftjobs.artifact.lease import Lease
from sftjobs.canonical import readable
from sftjobs.errors import StoreError
from sftjobs.plan.types import StagePlan
from sftjobs.store.base import OnBytes
from sftjobs.store.folder import FolderStore
from tests.support.agent_runner import PROGRAMS, REPOSITORY, AgentBench, until


class SlowStore(FolderStore):
    """Uploads wait until the gate is open; some fail."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.failures = 0

    def upload(self, key: str, source: Path, on_bytes: OnBytes | None = None) -> str:
        self.begun.set()
        deadline = time.monotonic() + 20
        while not self.gate.wait(0.05):
            assert time.monotonic() < deadline
            if on_bytes is not None:
                on_bytes(0)
        if self.failures > 0:
            self.failures -= 1
            raise StoreError("away")
        return super().upload(key, source, on_bytes)


@pytest.fixture
def quiet() -> Log:
    return Log([], lambda data: None)


def make(folder: Path, step: int) -> None:
    part = folder / names.step_folder(step) / names.rank_folder(0)
    part.mkdir(parents=True)
    (part / "state").write_text(str(step))


def saving(
    store: FolderStore, plan: StagePlan, folder: Path, newest: int | None, log: Log, incarnation: int = 1
) -> Saver:
    place = Place(store, plan.kind, plan.key, incarnation)
    return Saver(place, plan.resources, plan.operation, folder, newest, log, Leader(1, "", 0, log.say, lambda: None))


def steps(store: FolderStore, plan: StagePlan) -> list[int]:
    return [found.step for found in checkpoints.list_checkpoints(store, plan.kind, plan.key)]


def test_superseded_checkpoints_are_skipped(bench: AgentBench, tmp_path: Path, quiet: Log) -> None:
    plan, store, folder = bench.plan(), SlowStore(tmp_path / "slow"), tmp_path / "local"
    make(folder, 1)
    saver = saving(store, plan, folder, None, quiet)
    assert store.begun.wait(10)
    for step in (2, 3, 4):
        make(folder, step)
    until(lambda: (folder / names.HOLD).exists(), "the program to be asked not to save any more")
    store.gate.set()
    until(lambda: saver.newest == 4, "the newest checkpoint")
    saver.finish(10)
    assert steps(store, plan) == [4, 1]
    until(lambda: list(folder.iterdir()) == [], "the disk to be given back")


def test_an_upload_is_tried_again(
    bench: AgentBench, tmp_path: Path, quiet: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver_module, "FIRST_PAUSE_S", 0.01)
    plan, store, folder = bench.plan(), SlowStore(tmp_path / "slow"), tmp_path / "local"
    store.failures = 3
    store.gate.set()
    make(folder, 7)
    saver = saving(store, plan, folder, None, quiet)
    saver.finish(10)
    assert saver.newest == 7
    assert steps(store, plan) == [7]


def test_what_is_older_than_the_resumed_one_is_not_uploaded(bench: AgentBench, tmp_path: Path, quiet: Log) -> None:
    plan, folder = bench.plan(), tmp_path / "local"
    make(folder, 3)
    saver = saving(bench.store, plan, folder, 5, quiet, incarnation=2)
    saver.finish(10)
    assert steps(bench.store, plan) == []


def test_a_checkpoint_that_cannot_be_stored_costs_only_itself(bench: AgentBench, tmp_path: Path) -> None:
    said: list[bytes] = []
    plan, folder = bench.plan(), tmp_path / "local"
    make(folder, 1)
    make(folder, 2)
    (folder / names.step_folder(2) / names.rank_folder(0) / "link").symlink_to("/nowhere")
    saver = saving(bench.store, plan, folder, None, Log([], said.append))
    until(lambda: b"checkpoint of step 2 is not stored" in b"".join(said), "the refusal")
    make(folder, 3)
    saver.finish(10)
    assert saver.newest == 3


def test_a_lost_lease_ends_the_program(bench: AgentBench, tmp_path: Path, quiet: Log) -> None:
    plan = bench.plan()
    workdir = Workdir(tmp_path / "work")
    workdir.make()
    workdir.plan.write_bytes(readable(plan.model_dump(mode="json")))
    progress = Progress(workdir.progress)
    lease = Lease(bench.store, "LEASE", what="the test", renew_every_s=0.02)
    lease.acquire()
    heart = Heart(bench.store, "heartbeat", progress)
    environ = {"PYTHONPATH": f"{REPOSITORY}:{PROGRAMS}", "TEST_AT_2": f"wait:{tmp_path}"}
    ranks = start(plan, 0, workdir, None, quiet, environ, Meeting("127.0.0.1", free_port()))
    until(lambda: (tmp_path / "reached-0").exists(), "step 2")
    bench.store.put("LEASE", b"somebody else's")
    alone = Leader(1, "", 0, quiet.say, lambda: None)
    outcome = Supervisor(ranks, 1, plan.operation, progress, Stop(), lambda: lease.lost, heart, quiet, alone).watch()
    assert outcome.cause == "lost"
    assert not ranks.running()
    quiet.wait(5)
    heart.close("")
    lease.release()
    assert bench.store.get("LEASE").body == b"somebody else's"
