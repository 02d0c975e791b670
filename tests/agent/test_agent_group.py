"""Several nodes: two agents with two ranks each find each other, save together, stop together, fail together."""

import ctypes
import os
import re
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from sftjobs import names
from sftjobs.agent.group.channel import Channel
from sftjobs.agent.group.messages import Finished, Hello, encode
from sftjobs.errors import NotFoundError
from sftjobs.names import Exit
from sftjobs.plan.types import StagePlan
from sftjobs.runs import read_events
from tests.support.agent_groups import (
    GROUP,
    LATE_NAME,
    all_there,
    both,
    codes,
    go_on,
    late_name,
    planned,
    steps,
    undisturbed_digest,
    waiting,
    with_all,
)
from tests.support.agent_runner import RUN_ID, AgentBench, RunningAgent, handles_term, until


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return undisturbed_digest(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("node", [0, 1])
def test_asking_one_node_stops_all_after_one_save(
    bench: AgentBench, tmp_path: Path, undisturbed: str, node: int
) -> None:
    plan = planned(bench)
    agents = bench.start_group(plan, extra=both(waiting(tmp_path, 4)))
    until(lambda: all_there(tmp_path), "step 4")
    agents[node].signal(signal.SIGTERM)
    assert codes(agents) == [Exit.STOPPED, Exit.STOPPED]
    assert {agent.termination.checkpoint for agent in agents} == {4}
    assert steps(bench, plan)[0] == 4
    go_on(bench, plan, undisturbed, 4)


def test_kueue_stops_all_nodes_at_once(bench: AgentBench, tmp_path: Path, undisturbed: str) -> None:
    plan = planned(bench)
    agents = bench.start_group(plan, extra=both(waiting(tmp_path, 5)))
    until(lambda: all_there(tmp_path), "step 5")
    for agent in agents:
        agent.signal(signal.SIGTERM)
    assert codes(agents) == [Exit.STOPPED, Exit.STOPPED]
    go_on(bench, plan, undisturbed, 5)


def stop_alone(agent: RunningAgent, said: str) -> None:
    """While it waits for the other node."""
    until(lambda: said in agent.text and handles_term(agent), "it to wait for the other node")
    agent.signal(signal.SIGTERM)
    assert agent.wait() == Exit.STOPPED, agent.text
    assert agent.termination.checkpoint is None


def test_preempted_twice_before_the_first_save(bench: AgentBench, undisturbed: str) -> None:
    """While a node waits for the other one; and when they have just met. Nothing is charged, nothing half is left."""
    plan = planned(bench)
    stop_alone(bench.start_node(plan, 0, attempt=0), "attempt 0, incarnation 1")
    stop_alone(bench.start_node(plan, 1, attempt=1), "trying again")
    agents = bench.start_group(plan, attempt=2)
    until(lambda: "node 1 is here" in agents[0].text, "both nodes")
    agents[1].signal(signal.SIGTERM)
    assert codes(agents) == [Exit.STOPPED, Exit.STOPPED]
    assert steps(bench, plan) == []
    go_on(bench, plan, undisturbed, 0, attempt=3)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_the_killed_rank_is_named_by_every_node(bench: AgentBench, tmp_path: Path, undisturbed: str, rank: int) -> None:
    plan = planned(bench)
    agents = bench.start_group(plan, extra=both({"TEST_AT_5": f"{rank}/kill:"}))
    assert codes(agents) == [Exit.INFRASTRUCTURE, Exit.INFRASTRUCTURE]
    for agent in agents:
        assert agent.termination.rank == rank
        assert f"rank {rank} was killed from outside (KILL), not for memory" in agent.termination.message
    go_on(bench, plan, undisturbed, 4)


def test_a_mistake_on_another_node_is_the_message_of_all(bench: AgentBench) -> None:
    plan = planned(bench)
    agents = bench.start_group(plan, extra={1: {"TEST_AT_3": "2/data-error:label 'x' is unknown"}})
    assert codes(agents) == [Exit.BAD_CONFIG, Exit.BAD_CONFIG]
    assert {agent.termination.message for agent in agents} == {"label 'x' is unknown"}
    assert {agent.termination.rank for agent in agents} == {2}


GONE = both({"TEST_PEER_GONE": "throw:what libraries do when a peer is gone"})


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_ranks_that_are_aborted_when_one_is_killed(bench: AgentBench, undisturbed: str, rank: int) -> None:
    """A library that ends the process says nothing of who was the first."""
    plan = planned(bench)
    agents = bench.start_group(plan, extra=with_all(GONE, {"TEST_AT_5": f"{rank}/kill:"}))
    assert codes(agents) == [Exit.INFRASTRUCTURE, Exit.INFRASTRUCTURE]
    for agent in agents:
        assert f"rank {rank} was killed from outside (KILL), not for memory" in agent.termination.message
    assert "std::length_error" in agents[0].text + agents[1].text
    go_on(bench, plan, undisturbed, 4)


def test_ranks_that_are_aborted_when_one_finds_a_mistake(bench: AgentBench) -> None:
    plan = planned(bench)
    agents = bench.start_group(plan, extra=with_all(GONE, {"TEST_AT_3": "2/data-error:label 'x' is unknown"}))
    assert codes(agents) == [Exit.BAD_CONFIG, Exit.BAD_CONFIG]
    assert {agent.termination.message for agent in agents} == {"label 'x' is unknown"}


def test_ranks_that_are_aborted_when_a_node_is_lost(bench: AgentBench, tmp_path: Path) -> None:
    plan = planned(bench)
    agents = bench.start_group(plan, extra=with_all(GONE, waiting(tmp_path, 5)))
    until(lambda: all_there(tmp_path), "step 5")
    (tmp_path / "go").touch()
    for process in agents[1].family():
        process.kill()
    assert agents[0].wait() == Exit.INFRASTRUCTURE
    assert "node 1 is gone" in agents[0].termination.message


def test_an_error_of_the_machine_is_no_complaint(bench: AgentBench) -> None:
    """It has the same exit code, and ranks of the other node may end before it."""
    plan = planned(bench)
    agents = bench.start_group(plan, extra=both({"TEST_AT_3": "3/error:the disk is full"}))
    assert codes(agents) == [Exit.INFRASTRUCTURE, Exit.INFRASTRUCTURE]
    for agent in agents:
        assert (agent.termination.rank, agent.termination.message) == (3, "the disk is full")


def test_a_rank_that_is_aborted_for_a_reason_of_its_own(bench: AgentBench) -> None:
    """All others complain about it."""
    plan = planned(bench)
    agents = bench.start_group(plan, extra=both({"TEST_AT_3": "2/throw:too long"}))
    assert codes(agents) == [Exit.USER_ERROR, Exit.USER_ERROR]
    for agent in agents:
        assert agent.termination.message == "rank 2 ended by signal SIGABRT: std::length_error: too long"


def test_a_rank_that_is_aborted_for_lack_of_a_connection(bench: AgentBench, undisturbed: str) -> None:
    said = "terminate called after throwing an instance of 'gloo::IoException'\n  what():  Connection reset by peer"
    plan = planned(bench)
    agents = bench.start_group(plan, extra=both({"TEST_AT_5": f"1/abort:{said}"}))
    assert codes(agents) == [Exit.INFRASTRUCTURE, Exit.INFRASTRUCTURE]
    assert {agent.termination.failure for agent in agents} == {"infrastructure"}
    go_on(bench, plan, undisturbed, 4)


@pytest.mark.parametrize("node", [0, 1])
def test_a_killed_node_ends_the_other_at_once(bench: AgentBench, tmp_path: Path, undisturbed: str, node: int) -> None:
    plan = planned(bench)
    agents = bench.start_group(plan, extra=both(waiting(tmp_path, 5)))
    until(lambda: all_there(tmp_path), "step 5")
    until(lambda: steps(bench, plan)[:1] == [4], "the checkpoint of step 4")
    victims = agents[node].family()
    began = time.monotonic()
    for process in victims:
        process.kill()
    other = agents[1 - node]
    assert other.wait() == Exit.INFRASTRUCTURE
    assert time.monotonic() - began < 10
    assert f"node {node} is gone: its connection was closed" in other.termination.message
    (tmp_path / "go").touch()
    bench.store.delete(names.stage_prefix(plan.kind, plan.key) + names.LEASE)  # its holder was killed
    go_on(bench, plan, undisturbed, 4)


@pytest.mark.parametrize(("point", "committed"), [("after-manifest", False), ("after-commit", True)])
def test_no_node_ends_well_before_it_knows_of_the_commit(
    bench: AgentBench, undisturbed: str, point: str, committed: bool
) -> None:
    """All ranks have ended well, and node 0 is killed before it says that their work is committed."""
    plan = planned(bench)
    agents = bench.start_group(plan, extra={0: {names.ENV_CRASH_AT: point}})
    assert codes(agents) == [-signal.SIGKILL, Exit.INFRASTRUCTURE]
    assert "node 0 is gone: its connection was closed" in agents[1].termination.message
    assert (bench.manifest(plan) is not None) is committed
    bench.store.delete(names.stage_prefix(plan.kind, plan.key) + names.LEASE)  # its holder was killed
    assert codes(bench.start_group(plan, attempt=1)) == [0, 0]
    assert bench.digest(plan) == undisturbed


def test_a_node_that_is_cut_off(bench: AgentBench, tmp_path: Path, undisturbed: str) -> None:
    """Both sides live, but their connection is gone: nobody can save together any more."""
    plan = planned(bench)
    agents = bench.start_group(plan, extra=both(waiting(tmp_path, 5)))
    until(lambda: all_there(tmp_path) and steps(bench, plan)[:1] == [4], "the checkpoint of step 4")
    agent = psutil.Process(agents[1].process.pid)
    pid = agent.pid
    mine = [one for one in agent.net_connections("tcp") if one.raddr and one.raddr.port == bench.ports[0]]
    assert len(mine) == 1
    _shut_down(pid, mine[0].fd)
    assert codes(agents) == [Exit.INFRASTRUCTURE, Exit.INFRASTRUCTURE]
    assert "node 1 is gone" in agents[0].termination.message
    assert "node 0 is gone" in agents[1].termination.message
    go_on(bench, plan, undisturbed, 4)


def _shut_down(pid: int, fd: int) -> None:
    """Shut a socket of another process down, as a firewall that forgets a connection does."""
    handle = os.pidfd_open(pid)
    libc = ctypes.CDLL(None, use_errno=True)
    copy = libc.syscall(438, handle, fd, 0)  # pidfd_getfd
    assert copy >= 0, os.strerror(ctypes.get_errno())
    with socket.socket(fileno=copy) as ours:
        ours.shutdown(socket.SHUT_RDWR)
    os.close(handle)


A_MINUTE = pytest.param(0, 60.0, marks=pytest.mark.slow)


@pytest.mark.parametrize(("late", "seconds"), [(0, 1.0), (1, 1.0), A_MINUTE])
def test_a_node_may_come_late(bench: AgentBench, undisturbed: str, late: int, seconds: float) -> None:
    plan = planned(bench, group_wait_s=60 + round(seconds))
    first = bench.start_node(plan, 1 - late)
    until(lambda: "trying again" in first.text or names.CLAIM in "".join(_keys(bench)), "the first one to wait")
    time.sleep(seconds)
    second = bench.start_node(plan, late)
    assert codes([first, second]) == [0, 0]
    assert bench.digest(plan) == undisturbed


def _keys(bench: AgentBench) -> list[str]:
    return [entry.key for entry in bench.store.list("stages/")]


def test_the_name_of_node_0_may_come_late(bench: AgentBench, tmp_path: Path, undisturbed: str) -> None:
    """A resolver may know the name of a pod later than the pod listens, for agents and for ranks."""
    plan = planned(bench)
    leader = bench.start_node(plan, 0)
    port = bench.ports[0]
    until(lambda: _answers(port), "node 0 to listen")
    name = late_name(tmp_path, known := tmp_path / "known")
    peer = bench.start_node(plan, 1, extra={**name, names.ENV_LEADER: f"{LATE_NAME}:{port}"})
    until(lambda: f"node 0 at {LATE_NAME}:{port}: [Errno -2]" in peer.text, "the name to be asked for in vain")
    known.touch()
    assert codes([leader, peer]) == [0, 0]
    assert bench.digest(plan) == undisturbed


def test_the_name_of_node_0_may_never_come(bench: AgentBench) -> None:
    plan = planned(bench, group_wait_s=3)
    agent = bench.start_node(plan, 1, extra={names.ENV_LEADER: f"{LATE_NAME}:29400"})
    assert agent.wait() == Exit.INFRASTRUCTURE
    assert "node 0 did not answer within 3 s (limits.group_wait_s)" in agent.termination.message


def test_a_node_that_never_comes_is_named(bench: AgentBench) -> None:
    plan = planned(bench, group_wait_s=2)
    agent = bench.start_node(plan, 0)
    assert agent.wait() == Exit.INFRASTRUCTURE
    assert agent.termination.message == "node 1 did not come within 2 s (limits.group_wait_s)"


def test_strangers_are_not_let_in(bench: AgentBench, undisturbed: str) -> None:
    plan = planned(bench)
    leader = bench.start_node(plan, 0)
    until(lambda: _answers(bench.ports[0]), "node 0 to listen")
    strangers = [Hello(nonce="another attempt", node=1), Finished(), Hello(nonce="", node=0)]
    for message in strangers:
        with socket.create_connection(("127.0.0.1", bench.ports[0])) as connection:
            connection.sendall(encode(message))
            assert _closed(connection)
    with socket.create_connection(("127.0.0.1", bench.ports[0])) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert _closed(connection)
        peer = bench.start_node(plan, 1)
        assert codes([leader, peer]) == [0, 0]
    assert bench.digest(plan) == undisturbed


def _closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_damaged_part_of_one_node_makes_all_go_back(bench: AgentBench, tmp_path: Path, undisturbed: str) -> None:
    plan = planned(bench)
    agents = bench.start_group(plan, extra=both(waiting(tmp_path, 5)))
    until(lambda: all_there(tmp_path) and steps(bench, plan)[:1] == [4], "the checkpoint of step 4")
    agents[0].signal(signal.SIGTERM)
    assert codes(agents) == [Exit.STOPPED, Exit.STOPPED]
    assert steps(bench, plan) == [5, 4]
    prefix = names.checkpoint_prefix(plan.kind, plan.key, 1, 5)
    bench.store.put(f"{prefix}{names.rank_folder(3)}/state.json", b"x")
    go_on(bench, plan, undisturbed, 4)
    said = "checkpoint of step 5 is skipped, another one will be used: node 1: "
    assert said in bench.log(plan, attempt=1)
    ((_, event),) = read_events(bench.store, RUN_ID)
    assert event.kind == "checkpoint-skipped" and event.fields["reason"].startswith("node 1: ")


def noticed(bench: AgentBench, plan: StagePlan) -> str:
    """What `sftjobs status` says of the training while there is no progress."""
    said: list[str] = []

    def found() -> bool:
        try:
            beat = bench.heartbeat(plan)
        except NotFoundError:
            return False
        if beat.state == "running" and " since " in beat.message:
            said.append(beat.message)
        return bool(said)

    until(found, "a word about the silence")
    return said[0]


@pytest.mark.parametrize("rank", [1, 3])
def test_a_slow_loader_is_told_from_the_ranks_that_wait_for_it(bench: AgentBench, rank: int) -> None:
    plan = planned(bench, hang_after_s=6, grace_s=1)
    agents = bench.start_group(plan, extra=both({"TEST_AT_3": f"{rank}/hang:"}))
    waits = (
        rf"rank {rank}: waiting for data \(loader\) since \d+ s at step 3; the other ranks wait for it in a collective"
    )
    assert re.fullmatch(waits, noticed(bench, plan))
    assert codes(agents) == [Exit.HANG, Exit.HANG]
    for agent in agents:
        assert agent.termination.rank == rank
        assert re.search(rf"\(hang_after_s = 6\): {waits}; the stacks of all", agent.termination.message)
    logs = [bench.log(plan, node=node) for node in (0, 1)]
    assert "in misbehave" in logs[rank // 2]
    assert "in hear" in logs[1 - rank // 2]


def test_a_hung_collective_is_nobodys_fault(bench: AgentBench) -> None:
    plan = planned(bench, hang_after_s=5, grace_s=1)
    agents = bench.start_group(plan, extra=both({"TEST_AT_3": "2/lost:"}))
    assert codes(agents) == [Exit.HANG, Exit.HANG]
    for agent in agents:
        assert agent.termination.rank is None
        said = r"all ranks: in a collective since \d+ s at step 3; none is behind, so the communication"
        assert re.search(said, agent.termination.message), agent.termination.message


def test_a_checkpoint_of_another_number_of_ranks_is_refused_by_all(bench: AgentBench, tmp_path: Path) -> None:
    plan = planned(bench)
    agents = bench.start_group(plan, extra=both(waiting(tmp_path, 4)))
    until(lambda: all_there(tmp_path), "step 4")
    agents[0].signal(signal.SIGTERM)
    assert codes(agents) == [Exit.STOPPED, Exit.STOPPED]
    fewer = plan.model_copy(update={"resources": GROUP.model_copy(update={"processes_per_node": 1})})
    agents = bench.start_group(fewer, attempt=1)
    assert codes(agents) == [Exit.BAD_CHECKPOINT, Exit.BAD_CHECKPOINT]
    assert {agent.termination.message for agent in agents} == {
        "checkpoint of step 4 was made by 4 ranks, this training has 2; `sftjobs resume RUN --restart-stage STAGE` "
        "deletes it and begins at the first step"
    }
    assert not list(bench.store.list(names.checkpoint_prefix(plan.kind, plan.key, 2, 4)))
    assert "fresh start" not in bench.log(plan, attempt=1), "the ranks were started"


def test_committed_while_a_node_was_away(bench: AgentBench, undisturbed: str) -> None:
    plan = planned(bench)
    assert codes(bench.start_group(plan)) == [0, 0]
    late = bench.start_node(plan, 1, attempt=1)
    assert late.wait() == Exit.COMMITTED
    assert late.termination.message == "was committed already"


def test_a_silent_peer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node without power closes nothing."""
    monkeypatch.setattr("sftjobs.agent.group.channel.SILENT_S", 0.3)
    lost: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        Channel(ours, lambda message: None, lost.append).start()
        until(lambda: bool(lost), "the loss")
        theirs.close()
    assert lost == ["it was silent for 0 s"]
