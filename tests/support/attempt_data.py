"""Attempts of a made-up run on a cluster, as they are recorded."""

from typing import Any

from sftjobs.attempts import FailureClass, Heartbeat, Intent, Result, Termination
from sftjobs.plan.types import Kind, Manifest, Operation, Resources, StagePlan
from sftjobs.report.attempts import AttemptReport
from sftjobs.runs import Attempt

RUN_ID = "intent-v3-5f2c91aa"
BEGUN = 1_000.0


def attempt(
    stage: str = "train",
    number: int = 0,
    *,
    kind: Kind = "train",
    failure: FailureClass | None = "committed",
    gpus: int = 0,
    message: str = "",
    started: float | None = 130.0,
    finished: float = 730.0,
    times: dict[str, float] | None = None,
    program_s: float | None = 20.0,
    saved_s: float | None = None,
    beats: bool = True,
    seconds: dict[str, float] | None = None,
) -> AttemptReport:
    """Times are seconds since BEGUN; `failure` None is an open attempt, `seconds` those of its manifest."""
    plan = StagePlan(
        run="intent-v3",
        stage=stage,
        kind=kind,
        program=f"jobs.{kind}",
        key="0" * 64,
        key_json={},
        config={},
        inputs={},
        resources=Resources(gpus_per_node=gpus),
        operation=Operation(),
    )
    intent = Intent(run_id=RUN_ID, attempt=number, job=f"intent-v3-{stage}-a{number}", plan=plan, created=BEGUN)
    if times is not None:
        started, finished = times["started"], times["finished"]
    facts: dict[str, Any] = {} if times is None else {"times": {name: BEGUN + t for name, t in times.items()}}
    result = None
    if failure is not None:
        said = Termination(failure=failure, code=0 if failure == "committed" else 21, step=412, message=message)
        begun = None if started is None else BEGUN + started
        result = Result(attempt=number, termination=said, started=begun, finished=BEGUN + finished, facts=facts)
    beat = Heartbeat(t=BEGUN, state="running", program_s=program_s, saved_s=saved_s) if beats else None
    manifest = None
    if failure == "committed" and seconds is not None:
        manifest = Manifest(
            kind=kind, key="0" * 64, incarnation=1, digest="0" * 64, content=[], info=[], inputs={}, versions={},
            counts={}, facts={"run_id": RUN_ID, "attempt": number, "seconds": seconds},
        )  # fmt: skip
    return AttemptReport(stage, Attempt(intent, result), beat, manifest)


def cluster_attempts() -> list[AttemptReport]:
    """A run with a preempted and a lost training attempt, on 8 GPUs."""
    queued = {"created": 0.0, "admitted": 90.0, "scheduled": 92.0, "pulling": 93.0, "pulled": 123.0, "started": 130.0}
    again = {"created": 740.0, "admitted": 2_000.0, "scheduled": 2_001.0, "started": 2_004.0}
    last = {"created": 3_000.0, "admitted": 3_001.0, "scheduled": 3_002.0, "started": 3_005.0}
    lost = "rank 3: NCCL error: unhandled system error, node gpu-14 does not answer any more"
    return [
        attempt("data", kind="data", started=8.0, finished=41.5, seconds={"fetch": 2.0, "run": 31.0, "upload": 0.5}),
        attempt(
            gpus=8, failure="stopped", message="stopped on request", times={**queued, "finished": 730.0}, saved_s=615.0
        ),
        attempt(
            number=1,
            gpus=8,
            failure="infrastructure",
            message=lost,
            times={**again, "finished": 2_904.0},
            saved_s=320.0,
        ),
        attempt(
            number=2,
            gpus=8,
            times={**last, "finished": 5_105.0},
            seconds={"fetch": 20.0, "run": 2_060.0, "upload": 18.0},
        ),
    ]
