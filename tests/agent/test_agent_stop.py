"""Asked to stop: the program saves, the next attempt goes on, and the result is the same."""

import signal
import time
from pathlib import Path

from sftjobs import names
from sftjobs.artifact.lease import LeaseBody
from sftjobs.artifact.owner import Owner
from sftjobs.canonical import readable
from sftjobs.names import Exit
from sftjobs.plan.types import Operation
from tests.support.agent_runner import AgentBench, expected_digest, handles_term, until


def test_term_saves_and_the_next_attempt_goes_on(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan({"steps": 6, "checkpoint_every": 100})
    first = bench.start(plan, 0, {"TEST_AT_3": f"wait:{tmp_path}"})
    until(lambda: (tmp_path / "reached-0").exists(), "step 3")
    first.signal(signal.SIGTERM)
    assert first.wait() == Exit.STOPPED, first.text
    assert first.termination.failure == "stopped"
    assert (first.termination.step, first.termination.checkpoint) == (3, 3)
    assert first.family() == []

    second = bench.run(plan, attempt=1)
    assert "resumed at step 3" in second.text
    assert bench.digest(plan) == expected_digest(6)


def test_ctrl_c_twice_ends_a_program_that_does_not_listen(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan(operation=Operation(grace_s=100))
    agent = bench.start(plan, 0, {"TEST_AT_3": f"deaf:{tmp_path}"})
    until(lambda: (tmp_path / "reached-0").exists(), "step 3")
    agent.signal(signal.SIGINT)
    until(lambda: "asked to stop" in agent.text, "the first request")
    agent.signal(signal.SIGINT)
    assert agent.wait() == Exit.STOPPED
    assert "by force" in agent.text


def test_another_term_leaves_the_program_its_grace(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan(operation=Operation(grace_s=2))
    agent = bench.start(plan, 0, {"TEST_AT_3": f"deaf:{tmp_path}"})
    until(lambda: (tmp_path / "reached-0").exists(), "step 3")
    asked = time.monotonic()
    agent.signal(signal.SIGTERM)
    until(lambda: "asked to stop" in agent.text, "the first request")
    agent.signal(signal.SIGTERM)  # from a controller that took over while the program saves
    assert agent.wait() == Exit.STOPPED
    assert time.monotonic() - asked >= 2


def test_the_end_of_the_grace_ends_it_too(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan(operation=Operation(grace_s=1))
    agent = bench.start(plan, 0, {"TEST_AT_3": f"deaf:{tmp_path}"})
    until(lambda: (tmp_path / "reached-0").exists(), "step 3")
    agent.signal(signal.SIGTERM)
    assert agent.wait() == Exit.STOPPED


def test_term_before_the_program_starts(bench: AgentBench) -> None:
    plan = bench.plan()
    elsewhere = Owner(
        host="elsewhere", boot_id="b", pid_namespace="p", pid=1, start_time=0.0, run_id="r", what="another agent"
    )
    body = LeaseBody(nonce="n", owner=elsewhere, renewed=0.0)
    bench.store.create(names.stage_prefix(plan.kind, plan.key) + names.LEASE, readable(body.model_dump(mode="json")))
    agent = bench.start(plan)
    until(lambda: handles_term(agent), "its handler")
    agent.signal(signal.SIGTERM)
    assert agent.wait() == Exit.STOPPED
    assert agent.termination.message == "stopped on request, with nothing to save"
