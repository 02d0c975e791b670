"""Notes about attempts that do not start: few, and soon enough."""

from pathlib import Path

import pytest

from sftjobs.backend.base import JobStatus
from sftjobs.controller.observed import Observed
from sftjobs.release import waiting
from sftjobs.release.waiting import EVERY_S, SETTLED_S, WaitingNotes
from sftjobs.runs import Session, read_events
from sftjobs.store.folder import FolderStore


class Clock:
    """Monotonic time of the notes."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Bench:
    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = FolderStore(path)
        self.clock = Clock()
        monkeypatch.setattr(waiting, "time", self.clock)
        self.notes = WaitingNotes(self.store, "r")

    def look(self, detail: str, after_s: float, phase: str = "pending") -> None:
        self.clock.now += after_s
        job = JobStatus("r-train-a0", "train", 0, phase, detail=detail)  # type: ignore[arg-type]
        self.notes.note(Observed("r", 0.0, Session(number=0, begun=0.0), {}, jobs={("train", 0): job}))

    @property
    def said(self) -> list[str]:
        return [event.fields["reason"] for _, event in read_events(self.store, "r")]


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_what_is_soon_over_is_not_noted(at: Bench) -> None:
    at.look("its pods are being made", 0)
    at.look("starting", SETTLED_S - 1)
    at.look("", SETTLED_S - 1, phase="running")
    at.look("", SETTLED_S, phase="running")
    assert at.said == []


def test_a_reason_that_lasts_is_noted_once(at: Bench) -> None:
    at.look("its pods are being made", 0)
    for _ in range(20):
        at.look("no node has room", 2)
    assert at.said == ["no node has room"]


def test_reasons_that_change_all_the_time_are_noted_now_and_then(at: Bench) -> None:
    for number in range(40):
        at.look(f"{number // 2 + 1} in the queue before it", SETTLED_S)
    assert 2 <= len(at.said) <= 1 + 40 * SETTLED_S / EVERY_S


def test_a_stage_that_was_preempted_waits_anew(at: Bench) -> None:
    for _ in range(2):
        at.look("waiting for quota", 60)
        at.look("waiting for quota", SETTLED_S)
        at.look("", 60, phase="running")
    assert at.said == ["waiting for quota"] * 2
