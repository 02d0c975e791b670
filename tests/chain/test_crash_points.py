"""End the controller with KILL after every single side effect, restart it, and come to the same end.

In one run the controller is killed at the first point that is left, started again to be killed at the next one, and so
on. When the run is over before all points were met, a fresh run goes on with those that are left.
"""

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sftjobs import names
from sftjobs.artifact.lease import Lease
from sftjobs.controller.decide import places_of
from sftjobs.crashpoints import CONTROLLER
from sftjobs.runs import request_cancel
from tests.support.chain_runs import ChainRun, until

Make = Callable[..., ChainRun]
ALWAYS = {"controller.lease", "controller.session", "controller.verdict", "controller.event"}
JOB = {"controller.intent", "backend.recorded", "backend.started", "controller.create", "backend.ended"}
ATTEMPT = ALWAYS | JOB | {"controller.result"}
DELETION = {"backend.deletion-recorded", "controller.delete"}


@dataclass(frozen=True)
class Case:
    """One outcome: how to make such a run, and the points that it comes to."""

    stages: dict[str, list[str]]
    config: dict[str, Any]
    points: set[str]
    cancel: bool = False
    busy: bool = False
    cached: bool = False


CASES = {
    "success": Case({"a": [], "b": ["a"]}, {}, ATTEMPT | {"controller.report"}),
    "failure": Case({"a": []}, {"plan": [7]}, ATTEMPT),
    "retry": Case({"a": []}, {"plan": [21, 0], "counter": "starts"}, ATTEMPT | {"controller.report"}),
    "cancel": Case({"a": []}, {"wait_for": "never"}, ATTEMPT | DELETION, cancel=True),
    "busy": Case({"a": []}, {}, ATTEMPT | {"controller.report"}, busy=True),
    "cache hit": Case({"a": [], "b": ["a"]}, {}, ALWAYS | {"controller.report"}, cached=True),
}


def test_every_point_is_met_by_some_case() -> None:
    assert set().union(*(case.points for case in CASES.values())) == set(CONTROLLER)


@pytest.mark.parametrize("name", CASES)
def test_the_end_is_the_same(name: str, make: Make, root: Path) -> None:
    case = CASES[name]
    expected = _undisturbed(case, make, root / "undisturbed")
    left = [point for point in CONTROLLER if point in case.points]
    rounds = 0
    while left:
        rounds += 1
        before = len(left)
        chain = _chain(case, make, root / f"round-{rounds}")
        _play(case, chain, left)
        assert len(left) < before, f"{left} are never met"
        assert (chain.end_state(), chain.claims() if not case.cancel else 0) == expected


def _undisturbed(case: Case, make: Make, root: Path) -> tuple[dict[str, Any], int]:
    chain = _chain(case, make, root)
    _play(case, chain, [])
    return chain.end_state(), chain.claims() if not case.cancel else 0


def _chain(case: Case, make: Make, root: Path) -> ChainRun:
    root.mkdir()
    paths = {key: str(root / case.config[key]) for key in ("counter", "wait_for") if key in case.config}
    config = {**case.config, **paths}
    if case.cached:
        _commit_before(case, make, root)
    return make(case.stages, root=root, configs={"a": config})


def _commit_before(case: Case, make: Make, root: Path) -> None:
    """Another run has committed the same stages: it is run once and copied."""
    source = root.parent / "earlier"
    if not source.exists():
        source.mkdir()
        make(case.stages, root=source, parallel_stages=2).run()
    shutil.copytree(source / "store", root / "store")


def _play(case: Case, chain: ChainRun, left: list[str]) -> None:
    """Kill controllers at the points in `left`, which loses those that were met, until there is a verdict."""
    others = _somebody_else(chain) if case.busy else None
    sign = chain.root / "busy"
    while True:
        point = left[0] if left else ""
        controller = chain.fork(point, on_tick=lambda seen: _show_busy(chain, seen, sign))
        _meanwhile(case, chain, controller, others, sign)
        controller.join()
        if controller.exitcode != -signal.SIGKILL:
            return
        left.remove(point)


def _meanwhile(case: Case, chain: ChainRun, controller: Any, others: Lease | None, sign: Path) -> None:
    """What a person or another run does while the controller is at work."""

    def acted() -> bool:
        if case.cancel and chain.live():
            return chain.verdict() is None and request_cancel(chain.store, chain.run_id)
        if others is not None and sign.exists():
            others.release()
            return True
        return False

    if case.cancel or others is not None:
        until(lambda: controller.exitcode is not None or acted(), "the controller has ended, or its job is at work")


def _somebody_else(chain: ChainRun) -> Lease:
    """The LEASE of stage a, held by this process, which is alive."""
    from tests.support.chains import finish_chain

    key = names.stage_prefix("data", finish_chain(chain.plan, "a", {}).key) + names.LEASE
    lease = Lease(chain.store, key, what="another run", renew_every_s=3600)
    lease.acquire()
    return lease


def _show_busy(chain: ChainRun, seen: Any, sign: Path) -> None:
    """Leave a sign that the controller has seen the LEASE of somebody else."""
    if places_of(chain.plan, seen)["a"].kind == "busy":
        sign.touch()


def test_a_live_agent_is_adopted_after_the_controller_was_killed(make: Make, root: Path) -> None:
    chain = make({"a": []}, configs={"a": {"wait_for": str(root / "go")}})
    controller = chain.start_elsewhere()
    until(lambda: len(chain.at_work()) >= 2, "agent and program at work")
    agents = chain.live()
    controller.kill()
    controller.communicate()
    assert chain.live() == agents, "the agent survives its controller"
    (root / "go").touch()
    assert chain.run().outcome == "succeeded"
    assert (chain.endings(), chain.claims()) == ({"a": ["committed"]}, 1)


def test_a_controller_leaves_on_sigterm_and_its_agent_goes_on(make: Make, root: Path) -> None:
    chain = make({"a": []}, configs={"a": {"wait_for": str(root / "go")}})
    controller = chain.start_elsewhere()
    until(lambda: len(chain.at_work()) >= 2, "agent and program at work")
    controller.terminate()
    assert controller.wait(60) == 20
    controller.communicate()
    assert chain.live()
    (root / "go").touch()
    assert chain.run().outcome == "succeeded"
    assert chain.endings() == {"a": ["committed"]}


def test_agents_that_were_killed_are_tried_again(make: Make, root: Path) -> None:
    chain = make({"a": []}, configs={"a": {"wait_for": str(root / "go")}})
    controller = chain.start_elsewhere()
    until(lambda: len(chain.at_work()) >= 2, "agent and program at work")
    chain.kill_all()
    (root / "go").touch()
    assert controller.wait(60) == 0
    controller.communicate()
    assert chain.endings() == {"a": ["infrastructure", "committed"]}
