"""Two nodes on a real S3 server, with a proxy between that makes its faults: outage, slow uploads, kills, fences."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.artifact import stages
from sftjobs.names import Exit
from sftjobs.plan.types import StagePlan
from sftjobs.spec.run import StoreSpec
from sftjobs.store.open import open_store
from tests.support.agent_groups import all_there, both, codes, go_on, planned, steps, undisturbed_digest, waiting
from tests.support.agent_runner import AgentBench, until
from tests.support.faultproxy import hold
from tests.support.pod_store import SECRET, PodStore, pod_store

IMPATIENT = {**SECRET, "AWS_MAX_ATTEMPTS": "1"}
"""Of the agents: a request that fails is not tried for half a minute."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return undisturbed_digest(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def s3() -> Iterator[PodStore]:
    with pod_store() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in SECRET.items():
            patch.setenv(name, value)
        yield store


@pytest.fixture
def bench(s3: PodStore, tmp_path: Path) -> Iterator[AgentBench]:
    """The test talks to the server itself, the agents through the proxy."""
    direct = s3.spec(tmp_path.name)
    proxied = StoreSpec.model_validate(direct.model_dump() | {"endpoint": s3.pod_endpoint("127.0.0.1")})
    bench = AgentBench(tmp_path, open_store(direct, tmp_path), proxied)
    yield bench
    s3.proxy.clear()
    bench.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What waits for it goes on at the end, whatever the test came to."""
    event = threading.Event()
    with ExitStack() as at_the_end:
        at_the_end.callback(event.set)
        yield event


def part_of(step: int, rank: int) -> str:
    return f"{names.step_folder(step)}/{names.rank_folder(rank)}/"


def places(tmp_path: Path, *numbers: int) -> tuple[list[Path], dict[str, str]]:
    """Folders in which ranks wait at these steps, and the environment for it."""
    folders = [tmp_path / f"at-{number}" for number in numbers]
    variables: dict[str, str] = dict(IMPATIENT)
    for folder, number in zip(folders, numbers, strict=True):
        folder.mkdir()
        variables |= waiting(folder, number)
    return folders, variables


def asked_for(s3: PodStore, tmp_path: Path, path: str) -> bool:
    """Whether the proxy has seen a request of this test with `path` in it; it keeps those of all tests."""
    return any(tmp_path.name in line and path in line for line in s3.proxy.seen)


def commits(bench: AgentBench) -> list[str]:
    return [entry.key for entry in bench.store.list(names.STAGES) if entry.key.endswith(f"/{names.COMMIT}")]


@pytest.mark.parametrize("rank", [0, 3])
def test_store_down_while_a_node_uploads(
    bench: AgentBench, s3: PodStore, tmp_path: Path, undisturbed: str, rank: int
) -> None:
    """Training goes on, nobody loses the other, and the checkpoint is committed when the store is back."""
    plan = planned(bench)
    (third, fifth), variables = places(tmp_path, 3, 5)
    agents = bench.start_group(plan, extra=both(variables))
    until(lambda: all_there(third) and steps(bench, plan) == [2], "the checkpoint of step 2")
    fallen = s3.falls_at("PUT", part_of(4, rank), answered=False)
    (third / "go").touch()
    until(lambda: fallen.is_set() and all_there(fifth), "step 5, with the store down")
    until(lambda: "checkpoint of step 4: will be tried again" in agents[rank // 2].text, "a second try")
    assert steps(bench, plan) == [2]
    s3.proxy.clear()
    until(lambda: steps(bench, plan) == [4, 2], "the checkpoint of step 4")
    (fifth / "go").touch()
    assert codes(agents) == [0, 0]
    assert bench.digest(plan) == undisturbed


@pytest.mark.parametrize("rank", [1, 2])
def test_an_upload_slower_than_the_interval_holds_back_the_next_save(
    bench: AgentBench, s3: PodStore, tmp_path: Path, undisturbed: str, gate: threading.Event, rank: int
) -> None:
    """Whichever node is the slow one: no disk holds more than the one on its way and the newest."""
    plan = planned(bench, checkpoint_every=1)
    (second, third, sixth), variables = places(tmp_path, 2, 3, 6)
    path = part_of(1, rank)
    s3.proxy.script(hold("PUT", path, gate))
    agents = bench.start_group(plan, extra=both(variables))
    hold_file = agents[0].work / "checkpoints" / names.HOLD
    until(lambda: all_there(second) and asked_for(s3, tmp_path, path), "the upload of step 1")
    (second / "go").touch()
    until(lambda: all_there(third) and hold_file.exists(), "the program to be asked not to save")
    (third / "go").touch()
    until(lambda: all_there(sixth), "step 6")
    for agent in agents:
        local = sorted(path.name for path in (agent.work / "checkpoints").glob("step-*"))
        assert local == [names.step_folder(1), names.step_folder(2)], local
    gate.set()
    until(lambda: steps(bench, plan) == [2, 1] and not hold_file.exists(), "both checkpoints")
    (sixth / "go").touch()
    assert codes(agents) == [0, 0]
    assert bench.digest(plan) == undisturbed


@pytest.mark.parametrize("node", [0, 1])
def test_a_node_killed_while_it_uploads(
    bench: AgentBench, s3: PodStore, tmp_path: Path, undisturbed: str, gate: threading.Event, node: int
) -> None:
    plan = planned(bench)
    (third, fifth), variables = places(tmp_path, 3, 5)
    agents = bench.start_group(plan, extra=both(variables))
    until(lambda: all_there(third) and steps(bench, plan) == [2], "the checkpoint of step 2")
    path = part_of(4, 2 * node)
    s3.proxy.script(hold("PUT", path, gate))
    (third / "go").touch()
    until(lambda: all_there(fifth) and asked_for(s3, tmp_path, path), "the upload of step 4")
    for process in agents[node].family():
        process.kill()
    assert agents[1 - node].wait() == Exit.INFRASTRUCTURE
    assert f"node {node} is gone" in agents[1 - node].termination.message
    gate.set()
    assert steps(bench, plan) == [2], "half a checkpoint became visible"
    bench.store.delete(_lease(plan))  # its holder was killed, or let it go itself
    go_on(bench, plan, undisturbed, 2, extra=IMPATIENT)


def test_an_attempt_that_was_taken_for_dead_and_still_writes(
    bench: AgentBench, s3: PodStore, tmp_path: Path, undisturbed: str, gate: threading.Event
) -> None:
    """It stops in the middle of an upload, another attempt has its LEASE, and it wakes up: the fence holds."""
    plan = planned(bench, keep_last=1)
    (third, fifth), variables = places(tmp_path, 3, 5)
    first = bench.start_group(plan, extra=both(variables))
    until(lambda: all_there(third) and steps(bench, plan) == [2], "the checkpoint of step 2")
    path = part_of(4, 2)
    s3.proxy.script(hold("PUT", path, gate))
    (third / "go").touch()
    until(lambda: all_there(fifth) and asked_for(s3, tmp_path, path), "the upload of step 4")
    sleepers = [process for agent in first for process in agent.family()]
    for process in sleepers:
        process.suspend()
    bench.store.delete(_lease(plan))  # as if its time were over

    (sixth,), variables = places(tmp_path, 6)
    second = bench.start_group(plan, attempt=1, extra=both(variables))
    until(lambda: all_there(sixth) and steps(bench, plan) == [4], "step 6 of the other attempt, and its checkpoint")
    gate.set()
    for process in sleepers:
        process.resume()
    assert codes(first) == [Exit.BUSY, Exit.BUSY]
    (sixth / "go").touch()
    assert codes(second) == [0, 0]
    assert "resumed at step 2" in bench.log(plan, attempt=1)
    assert bench.digest(plan) == undisturbed
    assert commits(bench) == [names.stage_prefix(plan.kind, plan.key) + names.COMMIT]
    commit = stages.read_commit(bench.store, plan.kind, plan.key)
    assert commit is not None and commit.incarnation == 2


def _lease(plan: StagePlan) -> str:
    return names.stage_prefix(plan.kind, plan.key) + names.LEASE
