"""An undisturbed attempt, and attempts that have nothing to do."""

from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.artifact.lease import Lease
from sftjobs.names import Exit
from sftjobs.plan.types import Resources
from tests.support.agent_runner import RUN_ID, AgentBench, external_file


def test_commits_the_output_of_the_program(bench: AgentBench, tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("text")
    plan = bench.plan(inputs={"source": external_file(source)})
    agent = bench.run(plan)
    assert agent.process.returncode == Exit.COMMITTED, agent.text
    manifest = bench.manifest(plan)
    assert manifest is not None
    assert [file.path for file in manifest.content] == ["state-0.txt"]
    assert [file.path for file in manifest.info] == ["time-0.txt"]
    assert manifest.counts == {"steps": 6}
    assert manifest.inputs == {"source": plan.inputs["source"].digest}
    assert manifest.facts["run_id"] == RUN_ID
    assert manifest.facts["seconds"].keys() == {"fetch", "run", "upload"}
    assert agent.termination.failure == "committed"
    assert agent.termination.step == 6


def test_leaves_no_lease_no_files_and_no_processes(bench: AgentBench) -> None:
    plan = bench.plan()
    agent = bench.run(plan)
    left = [entry.key for entry in bench.store.list(names.stage_prefix(plan.kind, plan.key))]
    assert not any(key.endswith(names.LEASE) for key in left)
    assert list(agent.work.iterdir()) == []
    assert agent.family() == []


def test_records_key_heartbeat_and_log(bench: AgentBench) -> None:
    plan = bench.plan()
    bench.run(plan)
    assert bench.store.get(names.stage_prefix(plan.kind, plan.key) + names.KEY_JSON).body
    beat = bench.heartbeat(plan)
    assert (beat.state, beat.step, beat.total, beat.unit) == ("done", 6, 6, "steps")
    assert beat.loss == pytest.approx(1 / 6)
    assert "fresh start\n" in bench.log(plan)
    assert "committed (exit 0)" in bench.log(plan)


def test_does_nothing_if_the_stage_is_committed(bench: AgentBench) -> None:
    plan = bench.plan()
    bench.run(plan)
    before = [entry.key for entry in bench.store.list(names.STAGES)]
    again = bench.run(plan, attempt=1)
    assert again.process.returncode == Exit.COMMITTED
    assert again.termination.message == "was committed already"
    assert [entry.key for entry in bench.store.list(names.STAGES)] == before


def test_ends_busy_if_somebody_else_holds_the_lease(bench: AgentBench) -> None:
    plan = bench.plan()
    lease = Lease(bench.store, names.stage_prefix(plan.kind, plan.key) + names.LEASE, what="the test")
    with lease:
        agent = bench.run(plan)
    assert agent.process.returncode == Exit.BUSY
    assert agent.termination.failure == "busy"
    assert "held by the test (pid " in agent.termination.message
    assert bench.manifest(plan) is None


def test_two_ranks_leave_one_artifact(bench: AgentBench) -> None:
    plan = bench.plan(resources=Resources(processes_per_node=2, threads_per_process=1))
    agent = bench.run(plan)
    manifest = bench.manifest(plan)
    assert manifest is not None, agent.text
    assert [file.path for file in manifest.content] == ["state-0.txt", "state-1.txt"]
    assert "[rank 1] fresh start" in bench.log(plan)


def test_the_same_stage_gives_the_same_digest_in_another_store(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan()
    bench.run(plan)
    (tmp_path / "other").mkdir()
    other = AgentBench(tmp_path / "other")
    other.run(plan)
    assert other.digest(plan) == bench.digest(plan)
