"""The loop when store or backend do not answer, and when the run is taken away."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftjobs import names
from sftjobs.backend.base import BackendError, JobStatus
from sftjobs.backend.process import ProcessBackend
from sftjobs.controller.loop import Controls, Trouble, run_chain
from sftjobs.errors import DamagedError, StoreConfigError, StoreError
from sftjobs.runs import Verdict
from sftjobs.store.base import Object
from sftjobs.store.folder import FolderStore
from tests.support.chain_runs import ChainRun, until
from tests.support.chains import finish_chain

Make = Callable[..., ChainRun]


class AwayStore(FolderStore):
    """A folder store that stops answering when told so."""

    error: Exception | None = None

    def get(self, key: str) -> Object:
        if self.error is not None and not key.endswith(names.LEASE):
            raise self.error
        return super().get(key)


class AwayBackend(ProcessBackend):
    """A process backend that fails the first times."""

    failures = 2

    def list(self, run_id: str) -> list[JobStatus]:
        if self.failures:
            self.failures -= 1
            raise BackendError("too many requests")
        return super().list(run_id)


class Controller:
    """A controller in a thread, with everything it says."""

    def __init__(self, chain: ChainRun, store: FolderStore, backend: ProcessBackend | None = None) -> None:
        self.controls = Controls()
        self.troubles: list[Trouble | None] = []
        self.ticks = 0
        self.verdict: Verdict | None = None
        self.error: Exception | None = None
        arguments = (store, chain.plan, chain.run_id, backend or chain.backend())
        options = {
            "settings": chain.settings,
            "finish": finish_chain,
            "controls": self.controls,
            "on_trouble": self.troubles.append,
            "on_tick": self._tick,
            "tick_s": 0.02,
        }
        self._thread = threading.Thread(target=self._run, args=(arguments, options))
        self._thread.start()

    def _tick(self, _: Any) -> None:
        self.ticks += 1

    def _run(self, arguments: Any, options: Any) -> None:
        try:
            self.verdict = run_chain(*arguments, **options)
        except StoreError as error:
            self.error = error

    def end(self) -> Verdict | None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.verdict


def test_a_backend_that_does_not_answer_is_waited_for(make: Make) -> None:
    chain = make({"a": []})
    controller = Controller(chain, chain.store, AwayBackend(chain.work))
    verdict = controller.end()
    assert verdict is not None
    assert verdict.outcome == "succeeded"
    assert [trouble and trouble.message for trouble in controller.troubles] == ["too many requests", None], "said once"
    assert chain.endings() == {"a": ["committed"]}


def test_a_store_that_goes_away_stops_nothing_and_decides_nothing(make: Make, root: Path) -> None:
    chain = make({"a": []}, configs={"a": {"wait_for": str(root / "go")}})
    store = AwayStore(root / "store")
    controller = Controller(chain, store)
    until(lambda: len(chain.at_work()) >= 2, "agent and program at work")
    store.error = StoreError("connection refused")
    until(lambda: controller.troubles, "the controller says so")
    assert len(chain.at_work()) >= 2
    store.error = None
    (root / "go").touch()
    verdict = controller.end()
    assert verdict is not None
    assert verdict.outcome == "succeeded"
    assert chain.endings() == {"a": ["committed"]}


def test_somebody_who_wants_out_while_the_store_is_away_gets_out(make: Make, root: Path) -> None:
    chain = make({"a": []}, configs={"a": {"wait_for": str(root / "never"), "deaf": True}})
    store = AwayStore(root / "store")
    controller = Controller(chain, store)
    until(lambda: len(chain.at_work()) >= 2, "agent and program at work")
    store.error = StoreError("connection refused")
    until(lambda: controller.troubles, "the controller says so")
    controller.controls.request_stop()
    controller.controls.kill_now()
    verdict = controller.end()
    assert verdict is not None
    assert verdict.outcome == "left"
    assert "did not answer" in verdict.message
    until(lambda: not chain.live(), "its jobs have ended")


@pytest.mark.parametrize("error", [StoreConfigError("access denied"), DamagedError("a/b", "a/b is damaged")])
def test_a_store_that_a_person_must_mend_is_an_error(make: Make, root: Path, error: StoreError) -> None:
    chain = make({"a": []})
    store = AwayStore(root / "store")
    store.error = error
    controller = Controller(chain, store)
    assert controller.end() is None
    assert controller.error is error
    assert controller.troubles == []


def test_a_controller_that_lost_its_lease_touches_nothing_more(make: Make, root: Path) -> None:
    chain = make({"a": []}, configs={"a": {"wait_for": str(root / "go")}})
    controller = Controller(chain, chain.store)
    until(lambda: len(chain.at_work()) >= 2, "agent and program at work")
    chain.store.put(names.run_lease(chain.run_id), b"{}")
    until(lambda: controller.end() is not None, "it has noticed")
    assert controller.verdict is not None
    assert controller.verdict.outcome == "left"
    assert "taken over" in controller.verdict.message
    assert len(chain.at_work()) >= 2


def test_a_controller_can_be_called_off_before_it_begins(make: Make) -> None:
    chain = make({"a": []})
    stopping, leaving = Controls(), Controls()
    stopping.request_stop()
    leaving.leave()
    assert chain.run(stopping).outcome == "stopped"
    assert chain.run(leaving).outcome == "left"
    assert chain.endings() == {}
