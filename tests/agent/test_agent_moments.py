"""When the program began and when its last checkpoint was committed: known even if the agent is killed."""

from pathlib import Path

from sftjobs.errors import NotFoundError
from tests.support.agent_runner import AgentBench, until


def saved(bench: AgentBench, plan) -> float | None:
    try:
        return bench.heartbeat(plan).saved_s
    except NotFoundError:
        return None


def test_a_killed_agent_has_told_what_it_saved(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan({"steps": 6, "checkpoint_every": 2})
    agent = bench.start(plan, extra={"TEST_AT_5": f"wait:{tmp_path}"})
    until(
        lambda: saved(bench, plan) is not None, "a heartbeat after the checkpoint, not only the next regular one", 4.0
    )
    agent.process.kill()
    agent.wait()
    beat = bench.heartbeat(plan)
    assert beat.program_s is not None and beat.saved_s is not None
    assert 0.1 < beat.program_s < beat.saved_s, "from the start of the process on, imports included"


def test_without_a_checkpoint_nothing_is_said_to_be_saved(bench: AgentBench) -> None:
    plan = bench.plan({"steps": 6, "checkpoint_every": 9})
    bench.run(plan, extra={"TEST_AT_3": "raise:it broke"})
    beat = bench.heartbeat(plan)
    assert beat.program_s is not None and beat.saved_s is None
