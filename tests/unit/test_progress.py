"""Lines about a run without a terminal: each says something new."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sftjobs import names
from sftjobs.attempts import FailureClass, Heartbeat
from sftjobs.canonical import readable
from sftjobs.cli import progress as module
from sftjobs.cli.progress import HEARTBEAT_EVERY_S, LINE_EVERY_S, WAITING_AFTER_S, RunProgress
from sftjobs.store.folder import FolderStore
from tests.support.chains import NOW, RUN_ID, chain_plan, job, observed, view


class Bench:
    """One stage with an open attempt, at a time of its own."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "time", self)
        self.store = FolderStore(path)
        self.progress = RunProgress(self.store, chain_plan({"a": []}), RUN_ID)
        self._said: list[str] = []
        monkeypatch.setattr(self.progress, "say", self._said.append)

    def monotonic(self) -> float:
        return self.now

    def look(self, phase: str, after_s: float, detail: str = "", lost: int = 0) -> None:
        """`lost`: attempts before the open one."""
        self.now += after_s
        ended: list[FailureClass] = ["infrastructure"] * lost
        stage = view("a", *ended, None)
        assert stage.plan is not None
        stage = replace(stage, plan=stage.plan.model_copy(update={"summary": "60 steps"}))
        self.progress.on_tick(observed({"a": stage}, replace(job("a", lost, phase), detail=detail)))

    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self._said]

    def beat(self, attempt: int = 0, **fields: Any) -> None:
        values = {"t": NOW, "state": "running", "phase": "train", "unit": "steps", **fields}
        body = Heartbeat.model_validate(values).model_dump(mode="json")
        self.store.put(names.heartbeat(RUN_ID, "a", attempt, 0), readable(body))


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_pods_that_start_at_once_are_not_waited_for(at: Bench) -> None:
    at.look("pending", 0, "its pods are being made")
    at.look("pending", WAITING_AFTER_S - 1, "starting")
    at.look("running", 1)
    at.beat(step=3, total=60)
    at.look("running", LINE_EVERY_S)
    assert at.lines() == ["a running starting", "a 60 steps", "a running train 3/60 steps"]


def test_a_wait_is_told_with_its_reason_and_when_that_changes(at: Bench) -> None:
    at.look("pending", 0, "its pods are being made")
    for _ in range(10):
        at.look("pending", WAITING_AFTER_S, "Insufficient nvidia.com/gpu\n0/11 nodes are available")
    at.look("pending", LINE_EVERY_S, "pulling the image")
    at.look("running", 1)
    assert at.lines() == [
        "a running starting",
        "a 60 steps",
        "a waiting Insufficient nvidia.com/gpu",
        "a waiting pulling the image",
        "a running starting",
    ]


def test_a_stage_that_is_preempted_waits_again(at: Bench) -> None:
    at.beat(step=3, total=60)
    at.look("running", HEARTBEAT_EVERY_S)
    at.look("pending", 1, "waiting for quota")
    at.look("pending", WAITING_AFTER_S, "waiting for quota")
    assert at.lines() == ["a running train 3/60 steps", "a 60 steps", "a waiting waiting for quota"]


def test_another_attempt_has_its_own_number_time_and_heartbeat(at: Bench) -> None:
    at.look("running", 0)
    at.beat(step=3, total=60)
    at.look("running", LINE_EVERY_S)
    at.look("running", LINE_EVERY_S, lost=1)
    at.beat(attempt=1, phase="loading")
    at.look("running", LINE_EVERY_S, lost=1)
    assert at.lines()[2:] == [
        "a running train 3/60 steps",
        "a running attempt 1, starting",
        "a running attempt 1, loading, for 15 s",
    ]


def test_a_stage_that_is_asked_to_stop_says_that_it_saves(at: Bench) -> None:
    """Its phase and its step are those of the training that was interrupted."""
    for state, message in (("saving", "asked to stop"), ("uploading", "")):
        at.beat(step=94, total=800, state=state, message=message)
        at.look("running", LINE_EVERY_S)
    assert at.lines() == ["a running saving: asked to stop", "a 60 steps", "a running uploading"]
