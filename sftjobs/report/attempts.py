"""Attempts of a run for the report: where time and GPUs went. Pure. What is not known is None, never zero."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftjobs.attempts import Heartbeat, Result
from sftjobs.plan.types import Manifest
from sftjobs.runs import Attempt

STEPS = {
    "queue_s": ("created", "admitted"),
    "schedule_s": ("admitted", "scheduled"),
    "start_s": ("scheduled", "started"),
    "pull_s": ("pulling", "pulled"),
}
"""What a cluster does before the agent runs: name -> two times of `Result.facts["times"]`."""
SUMS = (*STEPS, "run_s", "wasted_s", "gpu_s", "wasted_gpu_s")


@dataclass(frozen=True)
class AttemptReport:
    """What is recorded about one attempt."""

    stage: str
    attempt: Attempt
    heartbeat: Heartbeat | None = None
    """The last one of its first node."""
    manifest: Manifest | None = None
    """Of the artifact, if this very attempt made it."""


def collect(attempts: Sequence[AttemptReport]) -> dict[str, Any] | None:
    """`rows` and their `total`; None if there was no attempt: everything came from the cache."""
    rows = [_row(one) for one in attempts]
    if not rows:
        return None
    return {"rows": rows, "total": {name: _sum(row[name] for row in rows) for name in SUMS}}


def _row(one: AttemptReport) -> dict[str, Any]:
    intent, result = one.attempt.intent, one.attempt.result
    said = result.termination if result is not None else None
    resources = intent.plan.resources
    gpus = resources.nodes * resources.gpus_per_node
    times = _times(result)
    steps = {name: _between(times, *ends) for name, ends in STEPS.items()}
    run_s = _run_s(result)
    wasted_s = _wasted(one, run_s, steps["start_s"])
    return {
        "stage": one.stage,
        "attempt": one.attempt.number,
        "failure": said.failure if said is not None else None,
        "message": said.message if said is not None and said.failure != "committed" else "",
        "step": _step(one),
        "checkpoint": said.checkpoint if said is not None else None,
        "gpus": gpus,
        "created": intent.created,
        **steps,
        "run_s": run_s,
        **_phases(one),
        "wasted_s": wasted_s,
        "gpu_s": _times_gpus(run_s, gpus),
        "wasted_gpu_s": _times_gpus(wasted_s, gpus),
    }


def _step(one: AttemptReport) -> int | None:
    """The last one of the program, by its agent's last word or else by its last heartbeat."""
    result, beat = one.attempt.result, one.heartbeat
    if result is not None and result.termination.step is not None:
        return result.termination.step
    return beat.step if beat is not None else None


def _times(result: Result | None) -> Mapping[str, float]:
    """Unix times as the backend saw them; of processes none."""
    return {} if result is None else result.facts.get("times") or {}


def _run_s(result: Result | None) -> float | None:
    """As the ceiling of GPU hours counts it: what ran before a preemption within the attempt is in it."""
    if result is None or result.started is None:
        return None
    return round(max(0.0, result.finished - result.started), 3)


def _between(times: Mapping[str, float], begin: str, end: str) -> float | None:
    if begin not in times or end not in times:
        return None
    return round(max(0.0, times[end] - times[begin]), 3)


def _phases(one: AttemptReport) -> dict[str, float | None]:
    """Seconds inside the pod: until the program starts, program, upload; the last two only of what came to its end."""
    seconds: Mapping[str, float] = {} if one.manifest is None else one.manifest.facts.get("seconds") or {}
    before = one.heartbeat.program_s if one.heartbeat is not None else None
    return {
        "prepare_s": before if before is not None else seconds.get("fetch"),
        "program_s": seconds.get("run"),
        "upload_s": seconds.get("upload"),
    }


def _wasted(one: AttemptReport, run_s: float | None, start_s: float | None) -> float | None:
    """Until its program worked, and everything that no later attempt can go on from."""
    result, beat = one.attempt.result, one.heartbeat
    if result is None or run_s is None:
        return None
    if one.manifest is not None:
        before = _phases(one)["prepare_s"]
        return None if before is None else round((start_s or 0.0) + min(before, run_s), 3)
    useful = 0.0
    if beat is not None and beat.saved_s is not None and beat.program_s is not None:
        useful = beat.saved_s - beat.program_s
    return round((start_s or 0.0) + max(0.0, run_s - useful), 3)


def _times_gpus(seconds: float | None, gpus: int) -> float | None:
    return None if seconds is None else round(seconds * gpus, 3)


def _sum(values: Iterable[float | None]) -> float | None:
    """Over what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if known else None
