"""Groups of agents with two nodes and two ranks each, at work on tests/agent/programs/lockstep.py."""

import os
from pathlib import Path

from sftjobs.artifact import checkpoints
from sftjobs.plan.types import Operation, Resources, StagePlan
from tests.support.agent_runner import PYTHON_PATH, AgentBench, RunningAgent

GROUP = Resources(nodes=2, processes_per_node=2, threads_per_process=1)
LATE_NAME = "demo-train-a0-0.nowhere.invalid"
_RESOLVER = """
import socket
from pathlib import Path

resolve = socket.getaddrinfo


def resolve_late(host, *rest, **more):
    if host == "{name}":
        if not Path("{known}").exists():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        host = "127.0.0.1"
    return resolve(host, *rest, **more)


socket.getaddrinfo = resolve_late
"""


def planned(bench: AgentBench, steps: int = 6, checkpoint_every: int = 2, **operation: int) -> StagePlan:
    """The artifact depends on the number of steps only."""
    values = {"steps": steps, "checkpoint_every": checkpoint_every}
    return bench.plan(
        values,
        program="lockstep",
        resources=GROUP,
        operation=Operation(**{"group_wait_s": 30, "grace_s": 20} | operation),
    )


def undisturbed_digest(folder: Path) -> str:
    """Digest of the artifact that nobody disturbed."""
    other = AgentBench(folder)
    plan = planned(other)
    agents = other.start_group(plan)
    assert codes(agents) == [0, 0]
    assert [agent.termination.failure for agent in agents] == ["committed", "committed"]
    digest = other.digest(plan)
    other.close()
    return digest


def codes(agents: list[RunningAgent]) -> list[int]:
    return [agent.wait() for agent in agents]


def steps(bench: AgentBench, plan: StagePlan) -> list[int]:
    """Of committed checkpoints, newest first."""
    return [found.step for found in checkpoints.list_checkpoints(bench.store, plan.kind, plan.key)]


def waiting(folder: Path, step: int) -> dict[str, str]:
    """Environment of ranks that wait at a step for a signal to stop, or for the file `go` in the folder."""
    return {f"TEST_AT_{step}": f"wait:{folder}"}


def late_name(folder: Path, known: Path) -> dict[str, str]:
    """Environment of an agent for which LATE_NAME is this machine once the file `known` is there; no name before."""
    place = folder / "resolver"
    place.mkdir()
    (place / "sitecustomize.py").write_text(_RESOLVER.format(name=LATE_NAME, known=known), encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(place), PYTHON_PATH])}


def both(variables: dict[str, str]) -> dict[int, dict[str, str]]:
    """The same variables on both nodes."""
    return {0: variables, 1: variables}


def all_there(folder: Path) -> bool:
    return all((folder / f"reached-{rank}").exists() for rank in range(4))


def go_on(
    bench: AgentBench, plan: StagePlan, digest: str, step: int, attempt: int = 1, extra: dict[str, str] | None = None
) -> None:
    """The next attempt resumes from `step` on every rank (0: begins) and ends as if nothing had happened."""
    agents = bench.start_group(plan, attempt, both(extra or {}))
    assert codes(agents) == [0, 0]
    for node in (0, 1):
        log = bench.log(plan, attempt=attempt, node=node)
        for rank in GROUP.ranks_of(node):
            assert f"[rank {rank}] resumed at step {step}" in log or (step == 0 and f"[rank {rank}] fresh" in log), log
    assert bench.digest(plan) == digest


def with_all(variables: dict[int, dict[str, str]], more: dict[str, str]) -> dict[int, dict[str, str]]:
    """Further variables on every node."""
    return {node: own | more for node, own in variables.items()}
