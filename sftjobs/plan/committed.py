"""Which stages of a plan are done, from the store alone: finish what has its inputs, look for its COMMIT."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from sftjobs import names, runs
from sftjobs.artifact import stages
from sftjobs.errors import NotFoundError
from sftjobs.plan.finish import finish, ready
from sftjobs.plan.types import ArtifactRef, Kind, Manifest, RunPlan, StageNode, StagePlan
from sftjobs.store.base import Store


@dataclass(frozen=True)
class Done:
    """What a stage left."""

    ref: ArtifactRef
    manifest: Manifest


@dataclass(frozen=True)
class Committed(Done):
    """A stage of a plan that is done."""

    plan: StagePlan


def committed(plan: RunPlan, store: Store) -> dict[str, Committed]:
    """Every committed stage by name, in plan order. Raises DamagedError if a manifest is not what COMMIT says."""
    found: dict[str, Committed] = {}
    for node in plan.stages:
        stage_plan = next_plan(plan, node, found)
        if stage_plan is None:
            continue
        done = _done(store, node.kind, stage_plan.key)
        if done is not None:
            found[node.name] = Committed(done.ref, done.manifest, stage_plan)
    return found


def next_plan(plan: RunPlan, node: StageNode, found: Mapping[str, Done]) -> StagePlan | None:
    """The finished plan of a stage; None as long as its inputs are missing, or if another version planned the run and
    its config has a form that this one does not know."""
    inputs = {name: (item.ref, item.manifest) for name, item in found.items()}
    if not ready(node, inputs):
        return None
    try:
        return finish(plan, node.name, inputs)
    except (KeyError, TypeError, ValidationError):
        return None


def done_in(store: Store, run_id: str) -> dict[str, Done]:
    """Every stage of a run that is done, by name; also of a run that another version planned.

    Another version computes other keys, so what the run's report names counts as well. Raises NotFoundError if there
    is no such run, DamagedError.
    """
    return {**recorded(store, run_id), **committed(runs.read_plan(store, run_id), store)}


def recorded(store: Store, run_id: str) -> dict[str, Done]:
    """What the report of a run names, as far as it is there; empty before there is a report. Raises DamagedError."""
    try:
        report = json.loads(store.get(names.report_file(run_id, "json")).body)
    except NotFoundError:
        return {}
    found = {stage["name"]: _done(store, stage["kind"], stage["key"]) for stage in report["stages"]}
    return {name: done for name, done in found.items() if done is not None}


def _done(store: Store, kind: Kind, key: str) -> Done | None:
    commit = stages.read_commit(store, kind, key)
    if commit is None:
        return None
    manifest = stages.read_manifest(store, kind, key, commit)
    return Done(stages.ref(commit, manifest), manifest)
