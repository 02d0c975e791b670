"""Runs from begin to verdict: the real loop, store, agents and programs, without torch."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftjobs import names
from sftjobs.artifact.lease import Lease
from sftjobs.controller.loop import Controls
from sftjobs.errors import BusyError
from sftjobs.plan.types import Operation
from sftjobs.runs import Verdict, current_session, read_events, request_cancel
from tests.support.chain_runs import ChainRun, until

Make = Callable[..., ChainRun]
TWO = {"a": [], "b": ["a"]}


class Background:
    """A controller in a thread of this process."""

    def __init__(self, chain: ChainRun) -> None:
        self.controls = Controls()
        self.verdict: Verdict | None = None
        self._chain = chain
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.verdict = self._chain.run(self.controls)

    def wait(self) -> Verdict:
        self._thread.join(60)
        assert self.verdict is not None
        return self.verdict


def test_success_and_the_same_request_again(make: Make) -> None:
    chain = make(TWO)
    verdict = chain.run()
    assert (verdict.outcome, verdict.exit_code, chain.reports) == ("succeeded", 0, ["built"])
    assert chain.text("b") == "a+b"
    assert chain.endings() == {"a": ["committed"], "b": ["committed"]}
    assert chain.run().outcome == "succeeded"
    assert chain.endings() == {"a": ["committed"], "b": ["committed"]}, "a second request runs nothing"
    session = current_session(chain.store, chain.run_id)
    assert session is not None
    assert (session.number, session.committed) == (1, ["a", "b"])
    kinds = [event.kind for _, event in read_events(chain.store, chain.run_id)]
    assert sorted(kinds) == ["attempt-ended"] * 2 + ["attempt-started"] * 2 + ["verdict"] * 2


def test_a_stage_of_another_run_is_a_cache_hit(make: Make) -> None:
    first = make(TWO)
    first.run()
    second = make(TWO, configs={"b": {"text": "other"}})
    assert second.run_id != first.run_id
    assert second.run().outcome == "succeeded"
    assert second.endings() == {"b": ["committed"]}
    assert second.text("b") == "a+other"


def test_a_mistake_in_the_data_ends_the_run(make: Make) -> None:
    chain = make(TWO, configs={"a": {"plan": [10]}})
    verdict = chain.run()
    assert (verdict.outcome, verdict.stage, verdict.exit_code) == ("failed", "a", 10)
    assert verdict.message == "labels: 'x' is not a label"
    assert chain.endings() == {"a": ["config"]}


def test_retries_and_their_end(make: Make, root: Path) -> None:
    configs = {"a": {"plan": [21, 21, 0], "counter": str(root / "starts")}}
    chain = make(TWO, configs=configs)
    assert chain.run().outcome == "succeeded"
    assert chain.endings()["a"] == ["infrastructure", "infrastructure", "committed"]


def test_a_failed_run_is_resumed_with_fresh_budgets(make: Make, root: Path) -> None:
    chain = make({"a": []}, configs={"a": {"plan": [7, 0], "counter": str(root / "starts")}})
    verdict = chain.run()
    assert (verdict.outcome, verdict.failure, verdict.exit_code) == ("failed", "user", 3)
    assert chain.run().outcome == "succeeded"
    assert chain.endings() == {"a": ["user", "committed"]}


def test_cancel(make: Make, root: Path) -> None:
    chain = make(TWO, configs={"a": {"wait_for": str(root / "never")}})
    controller = Background(chain)
    until(chain.live, "an agent at work")
    assert request_cancel(chain.store, chain.run_id)
    verdict = controller.wait()
    assert (verdict.outcome, verdict.exit_code) == ("cancelled", 3)
    assert chain.endings() == {"a": ["cancelled"]}
    assert not chain.live()
    assert not request_cancel(chain.store, chain.run_id), "it has ended already"
    (root / "never").touch()
    assert chain.run().outcome == "succeeded", "a cancelled run can be resumed"


def test_stop_lets_agents_save(make: Make, root: Path) -> None:
    chain = make(TWO, configs={"a": {"wait_for": str(root / "go")}})
    controller = Background(chain)
    until(lambda: _program_runs(chain), "the program at work")
    controller.controls.request_stop()
    assert controller.wait().outcome == "stopped"
    assert chain.endings() == {"a": ["stopped"]}
    (root / "go").touch()
    assert chain.run().outcome == "succeeded"
    assert chain.endings()["a"] == ["stopped", "committed"]


def test_kill_now_ends_a_program_that_does_not_listen(make: Make, root: Path) -> None:
    config = {"a": {"wait_for": str(root / "never"), "deaf": True}}
    chain = make({"a": []}, configs=config, operation=Operation(grace_s=600))
    controller = Background(chain)
    until(lambda: _program_runs(chain), "the program at work")
    controller.controls.request_stop()
    controller.controls.kill_now()
    assert controller.wait().outcome == "stopped"
    assert not chain.live()


def test_a_controller_that_leaves_lets_its_jobs_go_on(make: Make, root: Path) -> None:
    chain = make({"a": []}, configs={"a": {"wait_for": str(root / "go")}})
    controller = Background(chain)
    until(lambda: _program_runs(chain), "the program at work")
    controller.controls.leave()
    assert controller.wait().outcome == "left"
    agents = chain.live()
    assert agents
    (root / "go").touch()
    assert chain.run().outcome == "succeeded"
    assert chain.endings() == {"a": ["committed"]}, "the agent was adopted"


def test_a_stage_key_that_somebody_else_works_on_is_waited_for(make: Make) -> None:
    chain = make({"a": []})
    key = _key(chain)
    lease = Lease(chain.store, names.stage_prefix("data", key) + names.LEASE, what="another run")
    lease.acquire()
    controller = Background(chain)
    until(lambda: current_session(chain.store, chain.run_id), "the session has begun")
    assert chain.endings() == {}
    lease.release()
    assert controller.wait().outcome == "succeeded"
    assert chain.endings() == {"a": ["committed"]}


def test_a_second_controller_of_a_run_is_told_who_has_it(make: Make, root: Path) -> None:
    chain = make({"a": []}, configs={"a": {"wait_for": str(root / "go")}})
    other = chain.start_elsewhere()
    until(chain.live, "an agent at work")
    with pytest.raises(BusyError, match=f"pid {other.pid} on "):
        chain.run()
    (root / "go").touch()
    assert other.wait(60) == 0
    other.communicate()


def test_two_runs_of_one_name_do_not_touch_each_other(make: Make, root: Path) -> None:
    config: dict[str, Any] = {"wait_for": str(root / "go")}
    first = make({"a": []}, configs={"a": config})
    second = make({"a": []}, configs={"a": {**config, "text": "second"}})
    controllers = [Background(first), Background(second)]
    until(lambda: len(_jobs(first)) == len(_jobs(second)) == 1, "both at work under one job name")
    request_cancel(first.store, first.run_id)
    assert controllers[0].wait().outcome == "cancelled"
    (root / "go").touch()
    assert controllers[1].wait().outcome == "succeeded"
    assert second.endings() == {"a": ["committed"]}


def test_a_damaged_artifact_is_named_and_never_made_again_by_itself(make: Make) -> None:
    chain = make(TWO)
    chain.run()
    damaged = next(e.key for e in chain.store.list("stages/") if e.key.endswith("content/out.txt"))
    path = chain.store.local_path(damaged)
    assert path is not None
    path.write_text("")
    verdict = chain.run()
    assert verdict.outcome == "failed"
    assert damaged in verdict.message
    assert f"sftjobs discard {chain.run_id} {verdict.stage}" in verdict.message


def _program_runs(chain: ChainRun) -> bool:
    return len(chain.at_work()) >= 2


def _jobs(chain: ChainRun) -> list[str]:
    return [status.name for status in chain.backend().list(chain.run_id) if status.phase == "running"]


def _key(chain: ChainRun) -> str:
    from tests.support.chains import finish_chain

    return finish_chain(chain.plan, "a", {}).key
