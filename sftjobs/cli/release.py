"""Runs on Kubernetes with the controller here: `run --backend kubernetes` and `resume --cluster` share it."""

import os
from pathlib import Path

from sftjobs import runs
from sftjobs.backend.base import ReleaseGoneError
from sftjobs.cli.context import (
    local_folder,
    plan_loaded,
    refuse_second_run,
    store_spec,
    stored_store_spec,
)
from sftjobs.cli.execute import Recorded, to_the_end
from sftjobs.cli.output import console
from sftjobs.cli.progress import RunProgress
from sftjobs.controller.loop import Controls
from sftjobs.errors import SftError, StoreError
from sftjobs.release.chain import ReleaseRun, record, run_release
from sftjobs.release.install import connect, find_helm, install
from sftjobs.release.owner import owner_of
from sftjobs.release.run_file import load_for_cluster
from sftjobs.release.webhook import announce
from sftjobs.runs import Verdict
from sftjobs.spec.cluster_load import load_cluster
from sftjobs.store.base import Store
from sftjobs.store.open import open_store
from sftjobs.store.probe import probe


def run_on_cluster(
    file: Path, cluster_file: Path, namespace: str | None, context: str | None, chart: str | None, form: str
) -> int:
    """Install the chart and run the chain; returns the exit code. Nothing is installed before everything is checked."""
    helm = find_helm(chart, context)
    loaded = load_for_cluster(file)
    cluster = load_cluster(cluster_file)
    api = connect(context, namespace)
    store = open_store(store_spec(loaded.spec), loaded.folder)
    with console(stderr=True).status("looking at the store"):
        probe(store)
    name, planned = loaded.spec.name, plan_loaded(loaded, store)
    refuse_second_run(store, name, runs.run_id_of(planned.plan, owner_of(name, api.namespace)))
    with console(stderr=True).status("installing the chart"):
        release = install(helm, api, name, loaded.text, cluster)
    run = record(release, loaded, store, planned.plan)
    return _follow(run, cluster_file, planned.local, form)


def resume_on_cluster(
    store: Store, run_id: str, namespace: str, cluster_file: Path, context: str | None, chart: str | None, form: str
) -> int:
    """Go on with a recorded run in its own namespace, from the plan and the run.yaml in the store."""
    helm = find_helm(chart, context)
    cluster = load_cluster(cluster_file)
    plan, text = runs.read_plan(store, run_id), runs.read_spec_text(store, run_id)
    api = connect(context, namespace)
    with console(stderr=True).status("installing the chart"):
        release = install(helm, api, plan.name, text, cluster)
    run = ReleaseRun(release, store, stored_store_spec(text, store), plan, run_id)
    return _follow(run, cluster_file, local_folder(Path.cwd()), form)


def _follow(run: ReleaseRun, cluster_file: Path, local: Path, form: str) -> int:
    """Be the controller, to the verdict."""
    name, namespace = run.release.name, run.release.api.namespace
    console(stderr=True).print(f"run {run.run_id}, store {run.store.uri}, release {name} in namespace {namespace}")
    remove = f"`helm uninstall {name} -n {namespace}`"

    def chain(controls: Controls, progress: RunProgress) -> Verdict:
        try:
            verdict = run_release(
                run, controls=controls, request=None, on_tick=progress.on_tick, on_trouble=progress.on_trouble
            )
        except ReleaseGoneError as gone:
            way_out = "what is in the store stays, and the same command installs it again and goes on"
            raise SftError(f"run {run.run_id} is interrupted: {gone}; {way_out}") from gone
        if verdict.outcome not in ("left", "stopped"):
            _announce(run, verdict, progress)
        return verdict

    recorded = Recorded(
        run.store,
        run.plan,
        run.run_id,
        local,
        resume=f"`sftjobs resume {run.run_id} --cluster {os.fspath(cluster_file)}`",
        mended=f"`sftjobs run` (after {remove}, if run.yaml has changed)",
        afterwards=f"release {name} stays in namespace {namespace}; {remove} removes it and nothing in the store",
    )
    return to_the_end(recorded, chain, form)


def _announce(run: ReleaseRun, verdict: Verdict, progress: RunProgress) -> None:
    """The run has ended whether or not somebody can be told."""
    try:
        announce(run.store, run.run_id, run.release.name, verdict, run.release.cluster.webhook)
    except StoreError as error:
        progress.say(f"the webhook of cluster.yaml may not have been told: {error}")
