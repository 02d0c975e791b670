"""Two agents with a rank each, the real training on gloo: who is waited for when nothing goes on any more."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftjobs.artifact.digest import file_entries
from sftjobs.names import Exit
from sftjobs.plan.types import External, FinishedInput, Operation, Resources, StagePlan
from tests.support.agent_runner import AgentBench, RunningAgent
from tests.support.dist_cases import Variant, World, config_of
from tests.support.program_runner import stage_plan

HANG_S = 15
PATIENCE_S = 300.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AgentBench]:
    bench = AgentBench(tmp_path)
    yield bench
    bench.close()


def planned(world: World, engine: str) -> StagePlan:
    """A rank on each of two nodes."""
    inputs = {
        name: FinishedInput(external=External(source=str(path), digest=name, files=file_entries(path)))
        for name, path in world.inputs().items()
    }
    plan = stage_plan(
        "held_up",
        config_of(Variant("full", engine, 2, 2)),
        {},
        Resources(nodes=2, threads_per_process=1),
        Operation(hang_after_s=HANG_S, grace_s=1),
    )
    return plan.model_copy(update={"inputs": inputs, "kind": "train"})


def held_up(bench: AgentBench, plan: StagePlan, what: str) -> list[RunningAgent]:
    agents = bench.start_group(plan, extra={node: {"TEST_AT_5": what} for node in (0, 1)})
    assert [agent.wait(PATIENCE_S) for agent in agents] == [Exit.HANG, Exit.HANG], bench.log(plan)
    return agents


def test_a_loader_that_brings_nothing(world: World, bench: AgentBench) -> None:
    plan = planned(world, "ZeRO-3")
    for agent in held_up(bench, plan, "1/loader"):
        said = (
            r"rank 1: waiting for data \(loader\) since \d+ s at step \d; the other ranks wait for it in a collective;"
        )
        assert re.search(said, agent.termination.message), agent.termination.message
        assert agent.termination.rank == 1


def test_a_collective_that_hangs(world: World, bench: AgentBench) -> None:
    plan = planned(world, "DDP")
    for agent in held_up(bench, plan, "1/collective"):
        said = r"all ranks: in a collective since \d+ s at step 5; none is behind, so the communication"
        assert re.search(said, agent.termination.message), agent.termination.message
        assert agent.termination.rank is None
