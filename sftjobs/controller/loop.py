"""The controller: observe -> decide -> act, until there is a verdict."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sftjobs import names
from sftjobs.artifact.lease import Lease
from sftjobs.backend.base import Backend, BackendError
from sftjobs.controller.act import Actor, OnSuccess, Settings
from sftjobs.controller.actions import DeleteJob
from sftjobs.controller.decide import decide
from sftjobs.controller.observe import Observer
from sftjobs.controller.observed import Observed
from sftjobs.controller.stage_reader import FinishStage, StageReader
from sftjobs.crashpoints import crash_point
from sftjobs.errors import DamagedError, StoreConfigError, StoreError
from sftjobs.objects import JobSettings
from sftjobs.plan.finish import finish as finish_stage
from sftjobs.plan.types import RunPlan
from sftjobs.runs import Session, Verdict, begin_session, current_session, read_verdict
from sftjobs.store.base import Store

TICK_S = 0.1
"""Seconds between two looks, for processes and a folder. A cluster gets 10."""
MAX_TROUBLE_WAIT_S = 30.0
T = TypeVar("T")
_NAP_S = 0.1
"""Longest sleep without a look at the controls."""


class Controls:
    """How signal handlers and other threads talk to a running controller: plain flags, safe to set at any moment."""

    def __init__(self) -> None:
        self.leaving = False
        self.stopping = False
        self.forced = False

    def leave(self) -> None:
        """Go away without touching anything: jobs go on, the next controller adopts them."""
        self.leaving = True

    def request_stop(self) -> None:
        """Ask running jobs to save and stop, wait for them, end the session as stopped."""
        self.stopping = True

    def kill_now(self) -> None:
        """The same without the grace."""
        self.stopping = self.forced = True


@dataclass(frozen=True)
class Trouble:
    """Store or backend could not be asked; nothing is done until they can."""

    message: str
    retry_in_s: float


OnTick = Callable[[Observed], None]
OnTrouble = Callable[[Trouble | None], None]
"""Called when trouble begins or changes, and with None when it is over."""


def run_chain(
    store: Store,
    plan: RunPlan,
    run_id: str,
    backend: Backend,
    *,
    settings: JobSettings | Settings,
    finish: FinishStage | None = None,
    on_tick: OnTick | None = None,
    on_trouble: OnTrouble | None = None,
    on_success: OnSuccess = lambda: None,
    controls: Controls | None = None,
    clock: Callable[[], float] = time.time,
    tick_s: float = TICK_S,
    request: str | None = None,
    wake: threading.Event | None = None,
    gpu_hours: Callable[[], float | None] = lambda: None,
) -> Verdict:
    """Run a recorded run to its verdict (`sftjobs.runs.create_run` records it).

    If the last session has its verdict already, a new one begins with fresh budgets: that is what a person means by
    run and resume. A controller that a machine may start again names the person's `request`; if the last session was
    begun for that very request, its verdict is returned. `wake` ends the wait between two looks early.
    `on_success` builds the report before the verdict is written. Raises BusyError if another controller works on the
    run, StoreConfigError or DamagedError if a person must do something about the store, ReleaseGoneError if this
    controller has no say any more. Other troubles are waited out.
    """
    controls = controls or Controls()
    lease = Lease(store, names.run_lease(run_id), what=f"controller of run {run_id}", run_id=run_id)
    lease.acquire(given_up=lambda: controls.leaving or controls.stopping)
    crash_point("controller.lease")
    try:
        stages = StageReader(store, plan, run_id, finish or finish_stage)
        observer = Observer(store, run_id, backend, stages, gpu_hours)
        told = (on_tick or _silent, on_trouble or _silent)
        loop = _Loop(plan, observer, controls, lease, clock, tick_s, wake or threading.Event(), *told)
        end_by_force = partial(_end_by_force, backend, run_id)
        session = loop.steadily(lambda: _begin(store, run_id, observer, request, clock()))
        if session is None or isinstance(session, Verdict):
            return session or loop.left(end_by_force)
        crash_point("controller.session")
        asked = settings if callable(settings) else partial(_constant, settings)
        actor = Actor(store, run_id, session, backend, asked, on_success)
        return loop.run(session, actor) or loop.left(end_by_force)
    finally:
        lease.release()


def _constant(settings: JobSettings) -> JobSettings:
    return settings


def _silent(_: Any) -> None:
    return None


def _end_by_force(backend: Backend, run_id: str) -> None:
    """For somebody who wants out while the store is away; the next controller records how the jobs ended."""
    with suppress(BackendError):
        for job in backend.list(run_id):
            backend.delete(run_id, job.name, grace_s=0.0)
        backend.list(run_id)


def _begin(store: Store, run_id: str, observer: Observer, request: str | None, now: float) -> Session | Verdict:
    last = current_session(store, run_id)
    verdict = read_verdict(store, run_id, last.number) if last is not None else None
    if last is not None and verdict is not None and request is not None and last.request == request:
        return verdict
    views = observer.stages.read()
    # An attempt that is open goes on in this session, and counts in it: its release may have been installed anew.
    attempts = {name: len(view.attempts) - (view.open is not None) for name, view in views.items()}
    committed = [name for name, view in views.items() if view.committed]
    return begin_session(store, run_id, attempts, committed, now, request or "")


@dataclass
class _Loop:
    """The loop and what it needs around each tick."""

    plan: RunPlan
    observer: Observer
    controls: Controls
    lease: Lease
    clock: Callable[[], float]
    tick_s: float
    wake: threading.Event
    on_tick: OnTick
    on_trouble: OnTrouble

    def run(self, session: Session, actor: Actor) -> Verdict | None:
        """The verdict, or None if this controller is to go away before there is one."""
        while True:
            outcome = self.steadily(lambda: self._tick(session, actor))
            if outcome is None or isinstance(outcome, Verdict):
                return outcome
            if not outcome:
                self._nap(self.tick_s, self.wake)

    def _tick(self, session: Session, actor: Actor) -> Verdict | bool:
        """The verdict, or whether anything was done: then it is worth looking again at once."""
        halt = "stopped" if self.controls.stopping else None
        seen = self.observer.observe(session, self.clock(), halt, self.controls.forced)  # type: ignore[arg-type]
        self.on_tick(seen)
        actions = decide(self.plan, seen)
        for action in actions:
            if self._must_leave():
                return False
            verdict = actor.do(action)
            if isinstance(action, DeleteJob):
                self.observer.asked[action.job] = action.force
            if verdict is not None:
                return verdict
        return bool(actions)

    def steadily(self, step: Callable[[], T]) -> T | None:
        """The result of `step`, tried until store and backend answer; None if this controller is to go away."""
        wait, before = 0.5, ""
        while not self._must_leave():
            try:
                result = step()
            except (StoreConfigError, DamagedError):
                raise  # waiting will not help
            except (StoreError, BackendError) as error:
                if str(error) != before:
                    self.on_trouble(Trouble(str(error), wait))
                before = str(error)
                if self.controls.forced:
                    return None  # nobody answers and somebody wants out
                self._nap(max(wait, getattr(error, "retry_after_s", None) or 0.0))
                wait = min(MAX_TROUBLE_WAIT_S, wait * 2)
            else:
                if before:
                    self.on_trouble(None)
                return result
        return None

    def left(self, end_by_force: Callable[[], None]) -> Verdict:
        """What to say when going away without a verdict."""
        reason = "another controller has taken over the run" if self.lease.lost else "its jobs go on"
        if self.controls.forced and not self.lease.lost:
            end_by_force()
            reason = "store or backend did not answer; its jobs were ended by force as far as possible"
        return Verdict(outcome="left", message=f"the controller has left; {reason}", finished=self.clock())

    def _must_leave(self) -> bool:
        return self.controls.leaving or self.lease.lost

    def _nap(self, seconds: float, wake: threading.Event | None = None) -> None:
        end = time.monotonic() + seconds
        wake = wake or threading.Event()
        while (left := end - time.monotonic()) > 0 and not (self._must_leave() or self.controls.forced):
            if wake.wait(min(left, _NAP_S)):
                wake.clear()
                return
