"""Small run plans, and values of what a controller may know about them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sftjobs.attempts import FailureClass, Intent, Result, Termination
from sftjobs.backend.base import JobStatus
from sftjobs.canonical import digest
from sftjobs.controller.observed import Observed, StageView
from sftjobs.names import job_name
from sftjobs.plan.types import (
    ArtifactRef,
    Facts,
    FinishedInput,
    Manifest,
    Operation,
    Resources,
    RunPlan,
    StageInput,
    StageNode,
    StagePlan,
)
from sftjobs.runs import Attempt, Session
from sftjobs.spec.run import RetrySpec

RUN_ID = "demo-0123456789"
NOW = 1_000_000.0


def chain_plan(
    stages: Mapping[str, Sequence[str]],
    *,
    name: str = "demo",
    programs: Mapping[str, str] | None = None,
    configs: Mapping[str, dict[str, Any]] | None = None,
    operation: Operation | None = None,
    parallel_stages: int = 1,
    **retries: float,
) -> RunPlan:
    """A plan of stages of kind data; `stages` maps each one to those it needs."""
    nodes = [
        StageNode(
            name=stage,
            kind="data",
            program=(programs or {}).get(stage, "no.program"),
            config=(configs or {}).get(stage, {}),
            inputs={needed: StageInput(stage=needed) for needed in needs},
            resources=Resources(threads_per_process=1),
            operation=operation or Operation(grace_s=5),
        )
        for stage, needs in stages.items()
    ]
    spec = RetrySpec.model_validate({"backoff_s": 8.0, **retries})
    facts = Facts(externals={}, versions={})
    return RunPlan(name=name, stages=nodes, facts=facts, parallel_stages=parallel_stages, retries=spec.model_dump())


def finish_chain(plan: RunPlan, stage: str, inputs: Mapping[str, tuple[ArtifactRef, Manifest]]) -> StagePlan:
    """As `sftjobs.plan.finish.finish`, for plans of `chain_plan`."""
    node = plan.stage(stage)
    finished = {name: FinishedInput(artifact=inputs[item.stage][0]) for name, item in node.inputs.items() if item.stage}
    program = {"module": node.program, "libraries": {}}
    key = {"config": node.config, "program": program, "inputs": {n: i.digest for n, i in finished.items()}}
    return StagePlan(
        run=plan.name,
        stage=stage,
        kind=node.kind,
        program=node.program,
        key=digest(key),
        key_json=key,
        config=node.config,
        inputs=finished,
        resources=node.resources,
        operation=node.operation,
    )


def stage_plan(stage: str) -> StagePlan:
    """A finished plan of a stage without inputs."""
    return finish_chain(chain_plan({stage: []}, configs={stage: {"stage": stage}}), stage, {})


def intent(stage: str, attempt: int = 0) -> Intent:
    name = job_name("demo", stage, attempt)
    return Intent(run_id=RUN_ID, attempt=attempt, job=name, plan=stage_plan(stage), created=NOW)


def result(attempt: int, failure: FailureClass, *, finished: float = NOW, **more: Any) -> Result:
    """How an attempt ended; `more` are fields of Termination, and `facts`."""
    facts = more.pop("facts", {})
    said = Termination(failure=failure, code=1, **more)
    return Result(attempt=attempt, termination=said, started=None, finished=finished, facts=facts)


def attempts(stage: str, *endings: FailureClass | Result | None) -> tuple[Attempt, ...]:
    """One attempt per ending; None is an open one."""
    found = []
    for number, ending in enumerate(endings):
        ended = result(number, ending) if isinstance(ending, str) else ending
        found.append(Attempt(intent(stage, number), ended))
    return tuple(found)


def view(stage: str, *endings: FailureClass | Result | None, **more: Any) -> StageView:
    """A stage whose inputs are there; `more` are fields of StageView."""
    return StageView(**{"plan": stage_plan(stage), "attempts": attempts(stage, *endings), **more})


def job(stage: str, attempt: int, phase: Any, failure: FailureClass | None = None, **more: Any) -> JobStatus:
    said = Termination(failure=failure, code=1, **more) if failure is not None else None
    name = job_name("demo", stage, attempt)
    return JobStatus(name, stage, attempt, phase, said, finished=NOW if said is not None else None)


def observed(stages: Mapping[str, StageView], *jobs: JobStatus, **more: Any) -> Observed:
    """What a controller sees; `more` are fields of Observed."""
    values: dict[str, Any] = {"now": NOW, "session": Session(number=0, begun=NOW), **more}
    return Observed(run_id=RUN_ID, stages=stages, jobs={(j.stage, j.attempt): j for j in jobs}, **values)
