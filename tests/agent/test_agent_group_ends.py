"""Several nodes, when their ranks do not end together: some do not end at all, some end before they have saved."""

import signal
import time
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.errors import NotFoundError
from sftjobs.names import Exit
from sftjobs.plan.types import StagePlan
from tests.support.agent_groups import both, codes, planned, undisturbed_digest
from tests.support.agent_runner import AgentBench, RunningAgent, until


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return undisturbed_digest(tmp_path_factory.mktemp("undisturbed"))


WAITING = {0: "waiting for node 1 to end", 1: "waiting for node 0 to commit"}


def one_is_left(bench: AgentBench, plan: StagePlan, folder: Path, rank: int, action: str) -> list[RunningAgent]:
    """All work is done, all ranks but one have ended, and the agent of the other node waits for that one."""
    agents = bench.start_group(plan, extra=both({"TEST_AT_END": f"{rank}/{action}:{folder}"}))
    until(lambda: (folder / f"reached-{rank}").exists(), "the last rank")
    waiting = 1 - rank // 2
    until(lambda: says(bench, plan, waiting) == WAITING[waiting], f"node {waiting} to wait for the other")
    return agents


def says(bench: AgentBench, plan: StagePlan, node: int) -> str:
    try:
        return bench.heartbeat(plan, node=node).message
    except NotFoundError:
        return ""


def test_a_rank_that_does_not_end_is_a_hang(bench: AgentBench) -> None:
    plan = planned(bench, hang_after_s=3, grace_s=1)
    agents = bench.start_group(plan, extra=both({"TEST_AT_END": "3/hang:"}))
    assert codes(agents) == [Exit.HANG, Exit.HANG]
    for agent in agents:
        assert agent.termination.message == (
            "no progress for longer than allowed (hang_after_s = 3): the ranks of node 1 have not ended, "
            "all others have; their stacks are in the log"
        )
    assert "in misbehave" in bench.log(plan, node=1)
    assert bench.manifest(plan) is None


@pytest.mark.parametrize("node", [0, 1])
@pytest.mark.parametrize("rank", [1, 3])
def test_a_stop_while_one_rank_does_not_end(bench: AgentBench, tmp_path: Path, rank: int, node: int) -> None:
    plan = planned(bench, grace_s=2)
    agents = one_is_left(bench, plan, tmp_path, rank, "deaf")
    began = time.monotonic()
    agents[node].signal(signal.SIGTERM)
    assert codes(agents) == [Exit.STOPPED, Exit.STOPPED]
    assert time.monotonic() - began < 10
    assert bench.manifest(plan) is None


def test_a_stop_while_the_last_rank_ends_is_a_commit(bench: AgentBench, tmp_path: Path, undisturbed: str) -> None:
    agents = one_is_left(bench, plan := planned(bench), tmp_path, 3, "wait")
    agents[0].signal(signal.SIGTERM)
    assert codes(agents) == [0, 0]
    assert bench.digest(plan) == undisturbed


def test_the_lease_is_lost_while_one_rank_does_not_end(bench: AgentBench, tmp_path: Path) -> None:
    agents = one_is_left(bench, plan := planned(bench), tmp_path, 3, "deaf")
    bench.store.put(names.stage_prefix(plan.kind, plan.key) + names.LEASE, b"somebody else's")
    assert codes(agents) == [Exit.BUSY, Exit.BUSY]
    assert bench.manifest(plan) is None
