"""Where a run stands, from the store alone: what `sftjobs status` prints, with or without a controller."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import ValidationError

from sftjobs import names
from sftjobs.artifact import lease
from sftjobs.attempts import Heartbeat
from sftjobs.controller.decide import Place, places_of
from sftjobs.controller.observed import Observed, StageView
from sftjobs.controller.stage_reader import FinishStage, StageReader
from sftjobs.errors import NotFoundError
from sftjobs.model import Document
from sftjobs.plan.committed import recorded
from sftjobs.plan.finish import finish as finish_stage
from sftjobs.plan.types import Kind, StageNode
from sftjobs.runs import (
    Attempt,
    Owner,
    Session,
    Verdict,
    current_session,
    last_event,
    read_owner,
    read_plan,
    read_verdict,
)
from sftjobs.store.base import Store

STALLED_AFTER_S = 60.0
"""Seconds without a heartbeat after which a running stage is called stalled."""


StageStateName = Literal["pending", "waiting", "running", "stalled", "succeeded", "skipped", "failed", "cancelled"]
SILENT_AFTER_S = 15.0
"""Three heartbeats late: it is worth a look whether its pods are there at all."""


class StageState(Document):
    """One stage, for people."""

    name: str
    kind: Kind
    state: StageStateName
    """waiting: its pods have not started, or somebody else works on the same stage key; skipped: committed before this
    session, a cache hit."""
    key: str | None
    """None until its inputs are committed."""
    attempts: int
    """Attempts over all sessions."""
    message: str = ""
    heartbeat: Heartbeat | None = None
    """Of the running attempt, if it has sent one."""
    started: float | None = None
    finished: float | None = None
    """Unix time of the first start and of the last end, of attempts of this session."""
    attempt_started: float | None = None
    """Unix time at which the running attempt began."""


class RunState(Document):
    """One run, for people."""

    run_id: str
    name: str
    state: Literal["pending", "running", "interrupted", "succeeded", "failed", "cancelled", "stopped"]
    """interrupted: the session has no verdict and no controller; its jobs may go on, `sftjobs resume` adopts them."""
    owner: Owner
    verdict: Verdict | None
    """Of the last session, if it has ended."""
    controller: str | None
    """Who controls it now."""
    stages: list[StageState]


def run_state(
    store: Store,
    run_id: str,
    *,
    finish: FinishStage = finish_stage,
    now: float | None = None,
    stalled_after_s: float = STALLED_AFTER_S,
) -> RunState:
    """Raises NotFoundError if there is no such run."""
    now = time.time() if now is None else now
    plan, owner = read_plan(store, run_id), read_owner(store, run_id)
    begun = current_session(store, run_id)
    session = begun or Session(number=0, begun=now)
    verdict = read_verdict(store, run_id, begun.number) if begun is not None else None
    views = StageReader(store, plan, run_id, finish).read()
    if verdict is not None and verdict.outcome == "succeeded" and not all(view.committed for view in views.values()):
        # Another version computes other keys: what the report names is done all the same.
        views |= {name: replace(views[name], committed=True) for name in recorded(store, run_id)}
    places = places_of(plan, Observed(run_id, now, session, views, jobs={}))
    controller = controller_of(store, run_id)
    clock = _Clock(now, stalled_after_s)
    stages = [
        _stage(store, run_id, node, views[node.name], places[node.name], session, verdict, clock)
        for node in plan.stages
    ]
    return RunState(
        run_id=run_id,
        name=plan.name,
        state=_run(begun, verdict, controller),
        owner=owner,
        verdict=verdict,
        controller=controller,
        stages=stages,
    )


@dataclass(frozen=True)
class _Clock:
    now: float
    stalled_after_s: float


def read_heartbeat(store: Store, run_id: str, stage: str, attempt: int, node: int = 0) -> Heartbeat | None:
    """The newest heartbeat of an attempt, or None."""
    try:
        return Heartbeat.model_validate_json(store.get(names.heartbeat(run_id, stage, attempt, node)).body)
    except (NotFoundError, ValidationError):
        return None  # none yet, or one of a newer version: it is for people, and nothing may fail for want of it


def _run(
    begun: Session | None, verdict: Verdict | None, controller: str | None
) -> Literal["pending", "running", "interrupted", "succeeded", "failed", "cancelled", "stopped"]:
    if verdict is not None and verdict.outcome != "left":
        return verdict.outcome
    if controller is not None:
        return "running"
    return "pending" if begun is None else "interrupted"


def controller_of(store: Store, run_id: str) -> str | None:
    view = lease.observe(store, names.run_lease(run_id), lease.LeaseWatch())
    if not view.held:
        return None
    return "unknown" if view.owner is None else f"pid {view.owner.pid} on {view.owner.host}"


def _stage(
    store: Store,
    run_id: str,
    node: StageNode,
    view: StageView,
    place: Place,
    session: Session,
    verdict: Verdict | None,
    clock: _Clock,
) -> StageState:
    name, kind = node.name, node.kind
    recent = view.attempts[session.attempts.get(name, 0) :]
    heartbeat = read_heartbeat(store, run_id, name, view.open.number) if view.open is not None else None
    note = _why_waiting(store, run_id, name, view, heartbeat, clock)
    state, message = _state(name, view, place, session, verdict, heartbeat, clock)
    if note:
        state, message = "waiting", note
    starts, ends = _times(recent)
    return StageState(
        name=name,
        kind=kind,
        state=state,
        key=view.plan.key if view.plan is not None else None,
        attempts=len(view.attempts),
        message=message,
        heartbeat=heartbeat,
        started=min(starts, default=None),
        finished=max(ends, default=None) if view.open is None else _last_word(view, heartbeat),
        attempt_started=view.open.intent.created if view.open is not None else None,
    )


def _last_word(view: StageView, heartbeat: Heartbeat | None) -> float | None:
    """When an attempt ended whose result nobody has recorded: without a controller, or a moment before it looks."""
    return heartbeat.t if view.committed and heartbeat is not None else None


def _why_waiting(
    store: Store, run_id: str, stage: str, view: StageView, heartbeat: Heartbeat | None, clock: _Clock
) -> str:
    """Why the pods of the open attempt have not started, or have been taken away again; empty if they work."""
    if view.open is None or view.committed or (heartbeat is not None and clock.now - heartbeat.t < SILENT_AFTER_S):
        return ""
    note = last_event(store, run_id, names.EVENT_WAITING, stage=stage, attempt=view.open.number)
    if note is None or (heartbeat is not None and heartbeat.t > note.t):
        return ""
    return str(note.fields["reason"])


def _state(
    name: str,
    view: StageView,
    place: Place,
    session: Session,
    verdict: Verdict | None,
    heartbeat: Heartbeat | None,
    clock: _Clock,
) -> tuple[StageStateName, str]:
    if view.open is not None and not view.committed:
        silent = clock.now - (heartbeat.t if heartbeat is not None else view.open.intent.created)
        if silent > clock.stalled_after_s:
            return "stalled", f"no heartbeat for {silent:.0f} s"
        return "running", heartbeat.message if heartbeat is not None else "starting"
    if view.committed:
        cached = name in session.committed or len(view.attempts) == session.attempts.get(name, 0)
        return ("skipped", "cached") if cached else ("succeeded", "")
    if place.kind == "failed":
        return "failed", place.message
    if verdict is not None and verdict.outcome == "cancelled":
        return "cancelled", place.message
    return ("waiting" if place.kind == "busy" else "pending"), place.message


def _times(attempts: Sequence[Attempt]) -> tuple[list[float], list[float]]:
    starts, ends = [], []
    for attempt in attempts:
        started = attempt.result.started if attempt.result is not None else None
        starts.append(attempt.intent.created if started is None else started)
        if attempt.result is not None:
            ends.append(attempt.result.finished)
    return starts, ends
