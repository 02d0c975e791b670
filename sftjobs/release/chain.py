"""The run of a release, from its plan to its verdict: in the controller's pod, and on a laptop just the same."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sftjobs import names
from sftjobs.backend.kubernetes import KubernetesBackend, patience_of
from sftjobs.controller.loop import Controls, Trouble, run_chain
from sftjobs.controller.observed import Observed
from sftjobs.objects import JobSettings
from sftjobs.objects.settings import store_in_cluster
from sftjobs.plan.facts import resolve
from sftjobs.plan.make import make
from sftjobs.plan.types import RunPlan
from sftjobs.release.owner import owner_of
from sftjobs.release.release import Release
from sftjobs.release.waiting import NotedBackend, WaitingNotes
from sftjobs.report.publish import publish
from sftjobs.runs import Verdict, create_run
from sftjobs.spec.load import Loaded
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store

TICK_S = 2.0
"""Seconds between two looks at the store; news from the cluster is looked at when it comes."""


@dataclass(frozen=True)
class ReleaseRun:
    """A recorded run of a release."""

    release: Release
    store: Store
    """As it is reached from here."""
    store_spec: StoreSpec
    """As run.yaml names it; cluster.yaml says how pods reach it."""
    plan: RunPlan
    run_id: str


def record(release: Release, loaded: Loaded, store: Store, plan: RunPlan | None = None) -> ReleaseRun:
    """Record the run, planned now if it is not planned yet. The run has the name of the release.

    Raises DataError, SpecError, StoreError.
    """
    spec = loaded.spec.model_copy(update={"name": release.name})
    assert isinstance(spec.store, StoreSpec)
    plan = plan or make(spec, resolve(spec, loaded.folder, store))
    run_id = create_run(store, plan, loaded.text, owner_of(release.name, release.api.namespace))
    return ReleaseRun(release, store, spec.store, plan, run_id)


def run_release(
    run: ReleaseRun,
    *,
    controls: Controls,
    request: str | None,
    on_tick: Callable[[Observed], None],
    on_trouble: Callable[[Trouble | None], None],
) -> Verdict:
    """Run to a verdict. Raises what `run_chain` raises."""
    release, wake = run.release, threading.Event()
    backend = KubernetesBackend(
        release.api, release.name, release.anchor, patience_of(release.cluster), on_change=wake.set
    )
    notes = WaitingNotes(run.store, run.run_id)

    def look(seen: Observed) -> None:
        release.look_now_and_then()
        backend.patience = patience_of(release.cluster)
        notes.note(seen)
        on_tick(seen)

    def settings() -> JobSettings:
        cluster = release.latest()
        return JobSettings(
            store=store_in_cluster(run.store_spec, cluster),
            cluster=cluster,
            namespace=release.api.namespace,
            owner=release.owner,
        )

    return run_chain(
        run.store,
        run.plan,
        run.run_id,
        NotedBackend(backend, notes),
        settings=settings,
        on_tick=look,
        on_trouble=on_trouble,
        on_success=partial(publish, run.store, run.plan, run.run_id),
        controls=controls,
        tick_s=TICK_S,
        request=request,
        wake=wake,
        gpu_hours=lambda: release.cluster.gpu_hours,
    )


def request_of(release: Release, again: str) -> str:
    """What a person asked for: this installation of the release, for the n-th time."""
    return f"{release.anchor.uid}/{again or '0'} of {names.anchor_name(release.name)}"
