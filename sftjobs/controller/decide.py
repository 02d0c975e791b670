"""`decide`: what is known -> what to do next. A pure function; docs/failures.md has its table.

At most one action per stage and tick. Nothing here remembers anything: after a restart the same knowledge gives the
same decision, and an action whose effect is already there is not decided again.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from sftjobs import names
from sftjobs.attempts import FailureClass, Intent, Result, Termination
from sftjobs.backend.base import JobStatus
from sftjobs.controller.actions import Action, CreateJob, DeleteJob, Finish, RecordResult, WriteIntent
from sftjobs.controller.observed import Halt, Observed, StageView
from sftjobs.controller.retries import NO_COMMIT, GiveUp, TryAgain, judge
from sftjobs.names import Exit
from sftjobs.plan.types import RunPlan
from sftjobs.runs import Attempt, Verdict
from sftjobs.spec.run import RetrySpec

LEAVE_S = 10.0
"""Seconds that an agent has to end by itself after its COMMIT was seen."""


@dataclass(frozen=True)
class Place:
    """Where a stage stands."""

    kind: Literal["blocked", "ready", "backoff", "busy", "open", "done", "failed"]
    """blocked: inputs missing; busy: LEASE held elsewhere; open: an attempt has no result yet."""
    message: str = ""
    failure: FailureClass | None = None
    until: float = 0.0
    """For backoff: Unix time."""


def decide(plan: RunPlan, seen: Observed) -> list[Action]:
    """The next actions, at most one per stage; an empty list means: wait."""
    places = places_of(plan, seen)
    free = plan.parallel_stages - sum(_takes_a_slot(seen.stages[name], place) for name, place in places.items())
    actions: list[Action] = []
    leftovers = False
    for name, place in places.items():
        view = seen.stages[name]
        leftover = _leftover(name, view, seen)
        if view.open is not None:
            actions += _go_on(name, view, view.open, seen)
        elif leftover is not None:
            actions += _delete(name, leftover, "its attempt is over", seen)
            leftovers = True
        elif place.kind == "ready" and seen.halt is None and free > 0:
            actions.append(WriteIntent(_new_intent(view, seen)))
            free -= 1
    if not actions and not leftovers and not any(place.kind == "open" for place in places.values()):
        verdict = _verdict(places, seen)
        return [Finish(verdict)] if verdict is not None else []
    return actions


def places_of(plan: RunPlan, seen: Observed) -> dict[str, Place]:
    """Where each stage stands, in plan order."""
    retries = RetrySpec.model_validate(plan.retries)
    return {node.name: _place(seen.stages[node.name], node.name, seen, retries) for node in plan.stages}


def _place(view: StageView, name: str, seen: Observed, retries: RetrySpec) -> Place:
    if view.open is not None:
        return Place("open")
    if view.committed:
        return Place("done")
    if view.refusal is not None:
        return Place("failed", view.refusal.message, view.refusal.failure)
    if view.plan is None:
        return Place("blocked")
    judgement = judge(_charged(view, name, seen), retries)
    if isinstance(judgement, GiveUp):
        return Place("failed", judgement.message, judgement.failure)
    return _when(judgement, view, seen)


def _charged(view: StageView, name: str, seen: Observed) -> list[Result]:
    """Results of this session. One that ended before it began is of the past, even if nobody could record it then."""
    before, begun = seen.session.attempts.get(name, 0), seen.session.begun
    ended = [(attempt.intent.created, attempt.result) for attempt in view.attempts[before:]]
    return [result for created, result in ended if result is not None and max(created, result.finished) >= begun]


def _when(judgement: TryAgain, view: StageView, seen: Observed) -> Place:
    if seen.now < judgement.not_before:
        return Place("backoff", judgement.because, until=judgement.not_before)
    if view.busy is not None:
        return Place("busy", f"its stage key is worked on by {view.busy}")
    return Place("ready", judgement.because)


def _leftover(name: str, view: StageView, seen: Observed) -> JobStatus | None:
    """A Job that is still there although its attempt has a result: no other may be made before it has ended."""
    closed = {attempt.number for attempt in view.attempts if attempt.result is not None}
    jobs = (seen.jobs.get((name, number)) for number in closed)
    return next((job for job in jobs if job is not None and job.phase != "ended"), None)


def _takes_a_slot(view: StageView, place: Place) -> bool:
    """An agent that has committed only has to say goodbye: the next stage need not wait for that."""
    return place.kind == "open" and not view.committed


def _new_intent(view: StageView, seen: Observed) -> Intent:
    assert view.plan is not None
    number = len(view.attempts)
    return Intent(
        run_id=seen.run_id,
        attempt=number,
        job=names.job_name(view.plan.run, view.plan.stage, number),
        plan=view.plan,
        created=seen.now,
    )


def _go_on(stage: str, view: StageView, attempt: Attempt, seen: Observed) -> list[Action]:
    """The next action for an attempt that has no result yet."""
    job = seen.jobs.get((stage, attempt.number))
    if job is None:
        return [_without_job(stage, view, attempt, seen)]
    if job.phase == "ended":
        return [RecordResult(stage, _result(job, view, seen))]
    if job.hopeless is not None and not view.committed:
        return [RecordResult(stage, _result(replace(job, termination=job.hopeless), view, seen))]
    if seen.halt is not None:
        return _delete(stage, job, seen.halt_reason or f"run {seen.halt}", seen)
    if view.committed and view.committed_for_s > LEAVE_S:
        return _delete(stage, job, "committed, but its job does not end", seen)
    return []


def _without_job(stage: str, view: StageView, attempt: Attempt, seen: Observed) -> Action:
    """The Job was never made, or somebody deleted it: both look the same, and both are safe to answer the same way."""
    if view.committed:
        return RecordResult(stage, _no_job(attempt, "committed", Exit.COMMITTED, seen))
    if seen.halt is not None:
        return RecordResult(stage, _no_job(attempt, seen.halt, Exit.STOPPED, seen))
    return CreateJob(attempt.intent)


def _no_job(attempt: Attempt, failure: FailureClass, code: Exit, seen: Observed) -> Result:
    place = (attempt.intent.plan.stage, attempt.number)
    times = seen.times.get(place)
    return Result(
        attempt=attempt.number,
        termination=Termination(failure=failure, code=int(code)),
        started=seen.begun.get(place),
        finished=seen.now,
        facts={"times": dict(times)} if times else {},
    )


def _delete(stage: str, job: JobStatus, reason: str, seen: Observed) -> list[Action]:
    """Ask once, and once more if force was added."""
    asked = seen.asked.get(job.name)
    if asked is None or (seen.force and not asked):
        return [DeleteJob(stage, job.name, reason, force=seen.force)]
    return []


def _result(job: JobStatus, view: StageView, seen: Observed) -> Result:
    assert job.termination is not None
    return Result(
        attempt=job.attempt,
        termination=_conclude(job.termination, view.committed, seen.halt),
        started=seen.begun.get((job.stage, job.attempt), job.started),
        # By the clock of a node, which may be ahead: a retry must not wait until ours has come there.
        finished=min(job.finished, seen.now) if job.finished is not None else seen.now,
        facts=_facts(job, view, seen),
    )


def _facts(job: JobStatus, view: StageView, seen: Observed) -> dict[str, Any]:
    assert job.termination is not None
    lied = job.termination.failure == "committed" and not view.committed
    times = seen.times.get((job.stage, job.attempt), job.times)
    return {**({NO_COMMIT: True} if lied else {}), **({"times": dict(times)} if times else {})}


def _conclude(said: Termination, committed: bool, halt: Halt | None) -> Termination:
    """COMMIT has the last word about success, and a halt about why a job was ended by force."""
    if committed:
        return said.model_copy(update={"failure": "committed", "code": int(Exit.COMMITTED)})
    if said.failure == "committed":
        message = "the agent ended as if it had committed, but there is no COMMIT"
        return said.model_copy(
            update={"failure": "infrastructure", "code": int(Exit.INFRASTRUCTURE), "message": message}
        )
    if halt is not None and said.failure in ("stopped", "infrastructure"):
        return said.model_copy(update={"failure": halt})
    return said


def _verdict(places: dict[str, Place], seen: Observed) -> Verdict | None:
    """The end of the session, once nothing can proceed; independent branches are finished before a failure counts."""
    kinds = {place.kind for place in places.values()}
    if kinds == {"done"}:
        return Verdict(outcome="succeeded", finished=seen.now)
    if seen.halt == "budget":
        return Verdict(outcome="failed", failure="budget", message=seen.halt_reason, finished=seen.now)
    if seen.halt is not None:
        return Verdict(outcome=seen.halt, finished=seen.now)
    if kinds & {"ready", "backoff", "busy"}:
        return None
    stage, place = next((name, place) for name, place in places.items() if place.kind == "failed")
    return Verdict(outcome="failed", stage=stage, failure=place.failure, message=place.message, finished=seen.now)
