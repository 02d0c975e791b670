"""Several nodes, when their ranks do not end together: some do not end at all, some end before they have saved."""

import signal
import time
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.errors import NotFoundError
from sftjobs.names import Exit
from sftjobs.plan.types import StagePlan
from tests.support.agent_groups import all_there, both, codes, go_on, planned, steps, undisturbed_digest, waiting
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


def test_what_one_node_cannot_write_is_not_waited_for(bench: AgentBench, tmp_path: Path, undisturbed: str) -> None:
    plan = planned(bench)
    variables = {**waiting(tmp_path, 3), "TEST_SAVE_4": "3/data-error:no room for a 4"}
    agents = bench.start_group(plan, extra=both(variables))
    until(lambda: all_there(tmp_path) and steps(bench, plan) == [2], "the checkpoint of step 2")
    began = time.monotonic()
    (tmp_path / "go").touch()
    assert codes(agents) == [Exit.BAD_CONFIG, Exit.BAD_CONFIG]
    assert time.monotonic() - began < 20
    assert {agent.termination.message for agent in agents} == {"no room for a 4"}
    assert {agent.termination.checkpoint for agent in agents} == {2}
    go_on(bench, plan, undisturbed, 2)


@pytest.mark.parametrize(
    ("action", "code", "message"),
    [
        ("data-error:no room for a 4", Exit.BAD_CONFIG, "no room for a 4"),
        ("exit:21", Exit.INFRASTRUCTURE, "rank 3 ended with exit code 21; its last lines of log say why"),
    ],
)
def test_a_stop_in_which_one_node_cannot_save_is_no_stop(
    bench: AgentBench, tmp_path: Path, action: str, code: Exit, message: str
) -> None:
    plan = planned(bench)
    variables = {**waiting(tmp_path, 4), "TEST_SAVE_4": f"3/{action}"}
    agents = bench.start_group(plan, extra=both(variables))
    until(lambda: all_there(tmp_path) and steps(bench, plan) == [2], "the checkpoint of step 2")
    began = time.monotonic()
    agents[0].signal(signal.SIGTERM)
    assert codes(agents) == [code, code]
    assert time.monotonic() - began < 15, "of a grace of 20"
    assert {agent.termination.message for agent in agents} == {message}
    assert steps(bench, plan) == [2]


def test_the_last_step_that_all_nodes_have_is_saved(bench: AgentBench, tmp_path: Path, undisturbed: str) -> None:
    """The store is away while step 2 is saved; when it is back, step 4 is complete on node 0 and never on node 1."""
    second, third = tmp_path / "second", tmp_path / "third"
    second.mkdir()
    third.mkdir()
    plan = planned(bench)
    variables = {**waiting(second, 2), **waiting(third, 3), "TEST_SAVE_4": "3/kill:"}
    agents = bench.start_group(plan, extra=both(variables))
    until(lambda: all_there(second), "step 2")
    store, away = tmp_path / "store", tmp_path / "away"
    store.rename(away)
    store.symlink_to(store)
    (second / "go").touch()
    until(lambda: all_there(third) and "step 2: will be tried again" in agents[0].text, "the outage to be noticed")
    (third / "go").touch()
    until(lambda: (agents[0].work / "checkpoints" / names.step_folder(4)).exists(), "step 4")
    time.sleep(2)  # while it is thought of what is superseded
    store.unlink()
    away.rename(store)
    assert codes(agents) == [Exit.INFRASTRUCTURE, Exit.INFRASTRUCTURE]
    assert {agent.termination.checkpoint for agent in agents} == {2}
    go_on(bench, plan, undisturbed, 2)


@pytest.mark.parametrize("stopped", [False, True])
def test_one_node_saves_later(bench: AgentBench, tmp_path: Path, undisturbed: str, stopped: bool) -> None:
    """When its part is there, the ranks of node 0 have ended."""
    plan = planned(bench)
    failing = {} if stopped else {"TEST_AT_5": "1/kill:"}
    variables = {**waiting(tmp_path, 4), "TEST_SAVE_4": "3/slow:1.5", **failing}
    agents = bench.start_group(plan, extra=both(variables))
    until(lambda: all_there(tmp_path), "step 4")
    if stopped:
        agents[0].signal(signal.SIGTERM)
    else:
        (tmp_path / "go").touch()
    assert codes(agents) == 2 * [Exit.STOPPED if stopped else Exit.INFRASTRUCTURE]
    assert {agent.termination.checkpoint for agent in agents} == {4}
    go_on(bench, plan, undisturbed, 4)
