"""Run a recorded run to its verdict, with progress, signals and the final words: every way to run shares it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from sftjobs.backend.process import ProcessBackend
from sftjobs.cli.comparison import show_comparison
from sftjobs.cli.output import console, show_json
from sftjobs.cli.progress import RunProgress
from sftjobs.controller.loop import TICK_S, Controls, run_chain
from sftjobs.objects import JobSettings
from sftjobs.plan.types import RunPlan
from sftjobs.report.publish import publish
from sftjobs.runs import Verdict, current_session
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store

S3_TICK_S = 1.0
"""Seconds between two looks at an S3 store: each look is several requests that somebody pays for."""
INTERRUPTED = 130
"""What a shell expects of a command that Ctrl-C ended."""


@dataclass(frozen=True)
class Recorded:
    """A recorded run, and what a person may type to go on with it."""

    store: Store
    plan: RunPlan
    run_id: str
    local: Path
    """Scratch of this machine."""
    resume: str
    """Goes on with the recorded plan."""
    mended: str = "`sftjobs run`"
    """Goes on after a change to run.yaml or its data."""
    afterwards: str = ""
    """What stays behind, and how to remove it."""


Chain = Callable[[Controls, RunProgress], Verdict]
"""Runs the chain to its verdict; the progress wants to be told."""


def execute(store: Store, spec: StoreSpec, plan: RunPlan, run_id: str, local: Path, form: str) -> int:
    """Run it by processes on this machine; returns the exit code."""
    in_cloud = spec.uri.startswith("s3://")
    settings = JobSettings(store=spec if in_cloud else spec.model_copy(update={"uri": store.uri}))

    def chain(controls: Controls, progress: RunProgress) -> Verdict:
        return run_chain(
            store,
            plan,
            run_id,
            ProcessBackend(local),
            settings=settings,
            on_tick=progress.on_tick,
            on_trouble=progress.on_trouble,
            on_success=lambda: publish(store, plan, run_id),
            controls=controls,
            tick_s=S3_TICK_S if in_cloud else TICK_S,
        )

    return to_the_end(Recorded(store, plan, run_id, local, resume=f"`sftjobs resume {run_id}`"), chain, form)


def to_the_end(run: Recorded, chain: Chain, form: str) -> int:
    """Run to a verdict and say how it ended; returns the exit code."""
    controls = Controls()
    with RunProgress(run.store, run.plan, run.run_id) as progress, _signals(controls, progress.say):
        verdict = chain(controls, progress)
    if form == "json":
        show_json({"run_id": run.run_id, **verdict.model_dump(mode="json")})
    else:
        _say(run, verdict)
    if run.afterwards:
        console(stderr=True).print(run.afterwards)
    return INTERRUPTED if verdict.outcome == "stopped" else int(verdict.exit_code)


@contextmanager
def _signals(controls: Controls, say: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C once: stages save and stop. Twice: at once. TERM: the controller goes, its stages go on."""
    presses = 0

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            say("stopping: the running stage saves a checkpoint first; Ctrl-C again ends it at once")
            controls.request_stop()
        else:
            say("ending at once; what was saved before stays")
            controls.kill_now()

    before = signal.signal(signal.SIGINT, interrupted)
    before_term = signal.signal(signal.SIGTERM, lambda _signal, _frame: controls.leave())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, before_term)


def _say(run: Recorded, verdict: Verdict) -> None:
    run_id, out = run.run_id, console()
    if verdict.outcome == "succeeded":
        session = current_session(run.store, run_id)
        cached = len(session.committed) if session is not None else 0
        out.print(f"run {run_id}: {cached} of {len(run.plan.stages)} stages cached")
        show_comparison(run.store, run_id, out, run.local)
        return
    error = console(stderr=True)
    if verdict.outcome == "failed":
        where = f"in stage {verdict.stage} " if verdict.stage else ""
        error.print(f"run {run_id} failed {where}({verdict.failure}): {verdict.message}", style="red")
        if verdict.stage:
            error.print(f"log: sftjobs logs {run_id} {verdict.stage}")
        error.print(_way_on(run, verdict))
    elif verdict.outcome == "cancelled":
        error.print(f"run {run_id} was cancelled; {run.resume} goes on with it")
    elif verdict.outcome == "stopped":
        error.print(f"run {run_id} is stopped; the same command goes on where it was")
    else:
        error.print(f"run {run_id}: {verdict.message}; the same command takes over again")


def _way_on(run: Recorded, verdict: Verdict) -> str:
    """What to do after a failure: a mended input or run.yaml needs a new plan, everything else the recorded one."""
    if verdict.failure == "checkpoint":
        if not run.resume.startswith("`sftjobs resume"):
            discard = f"`sftjobs discard {run.run_id} {verdict.stage}` deletes its checkpoints"
            return f"{discard}, then {run.resume} trains from the first step"
        again = f"{run.resume.removesuffix('`')} --restart-stage {verdict.stage}`"
        return f"{again} deletes its checkpoints and trains from the first step"
    if verdict.failure == "budget":
        return f"after raising gpu_hours in cluster.yaml, {run.resume} goes on where it was"
    again = run.mended if verdict.failure == "config" else run.resume
    return f"after mending the cause, {again} goes on; what is committed is not made again"
