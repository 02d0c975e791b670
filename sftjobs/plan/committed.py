"""Which stages of a plan are done, from the store alone: finish what has its inputs, look for its COMMIT."""

from dataclasses import dataclass

from sftjobs.artifact import stages
from sftjobs.plan.finish import finish, ready
from sftjobs.plan.types import ArtifactRef, Manifest, RunPlan, StagePlan
from sftjobs.store.base import Store


@dataclass(frozen=True)
class Committed:
    """A stage that is done."""

    plan: StagePlan
    ref: ArtifactRef
    manifest: Manifest


def committed(plan: RunPlan, store: Store) -> dict[str, Committed]:
    """Every committed stage by name, in plan order. Raises DamagedError if a manifest is not what COMMIT says."""
    found: dict[str, Committed] = {}
    for node in plan.stages:
        inputs = {name: (item.ref, item.manifest) for name, item in found.items()}
        if not ready(node, inputs):
            continue
        stage_plan = finish(plan, node.name, inputs)
        commit = stages.read_commit(store, node.kind, stage_plan.key)
        if commit is None:
            continue
        manifest = stages.read_manifest(store, node.kind, stage_plan.key, commit)
        found[node.name] = Committed(stage_plan, stages.ref(commit, manifest), manifest)
    return found
