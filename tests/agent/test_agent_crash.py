"""KILL of the agent after each side effect, then another attempt: one COMMIT, the undisturbed result, no orphans."""

import signal
from pathlib import Path

import pytest

from sftjobs import crashpoints, names
from sftjobs.artifact.checkpoints import list_checkpoints
from sftjobs.names import Exit
from tests.support.agent_runner import AgentBench, expected_digest, until

STEPS = 5


@pytest.mark.parametrize("point", crashpoints.AGENT)
def test_killed_after_each_side_effect_and_started_again(bench: AgentBench, tmp_path: Path, point: str) -> None:
    plan = bench.plan({"steps": STEPS, "checkpoint_every": 2})
    first = bench.start(
        plan, 0, {names.ENV_CRASH_AT: point, "TEST_AT_4": f"wait:{tmp_path}", "TEST_AT_5": f"wait:{tmp_path}"}
    )
    until(
        lambda: first.process.poll() is not None or bool(list_checkpoints(bench.store, plan.kind, plan.key)),
        "the end of the agent or its first checkpoint",
    )
    (tmp_path / "go").touch()
    assert first.wait() == -signal.SIGKILL, first.text
    until(lambda: not first.family(), "the end of the ranks")

    second = bench.run(plan, attempt=1)
    assert second.process.returncode == Exit.COMMITTED, second.text
    assert bench.digest(plan) == expected_digest(STEPS)
    commits = [entry.key for entry in bench.store.list(names.STAGES) if entry.key.endswith(f"/{names.COMMIT}")]
    assert commits == [names.stage_prefix(plan.kind, plan.key) + names.COMMIT]


def test_goes_on_from_the_checkpoint_of_a_killed_agent(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan({"steps": STEPS, "checkpoint_every": 2})
    first = bench.start(plan, 0, {"TEST_AT_5": f"wait:{tmp_path}"})
    until(lambda: len(list_checkpoints(bench.store, plan.kind, plan.key)) > 0, "a checkpoint")
    until(lambda: (tmp_path / "reached-0").exists(), "step 5")
    first.process.kill()
    first.wait()
    second = bench.run(plan, attempt=1)
    assert "going on from the checkpoint of step" in second.text
    assert bench.digest(plan) == expected_digest(STEPS)
    manifest = bench.manifest(plan)
    assert manifest is not None
    assert manifest.incarnation == 2
    assert manifest.facts["resumed_from"] in (2, 4)


def test_of_two_agents_on_one_key_one_works(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan()
    agents = [bench.start(plan, attempt, {"TEST_AT_2": f"wait:{tmp_path}"}) for attempt in (0, 1)]
    until(lambda: any(agent.process.poll() is not None for agent in agents), "one agent to give way")
    (tmp_path / "go").touch()
    assert sorted(agent.wait() for agent in agents) == [Exit.COMMITTED, Exit.BUSY]
    assert bench.digest(plan) == expected_digest(6)
