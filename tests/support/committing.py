"""Commit stages by hand: what an agent would leave, without one."""

from pathlib import Path
from typing import Any

from sftjobs import names
from sftjobs.artifact import stages
from sftjobs.artifact.digest import artifact_digest, file_entries
from sftjobs.artifact.transfer import upload_tree
from sftjobs.canonical import readable
from sftjobs.plan.finish import finish
from sftjobs.plan.types import ArtifactRef, Manifest, RunPlan, StagePlan
from sftjobs.store.base import Store


def commit_stage(
    store: Store, plan: StagePlan, scratch: Path, files: dict[str, bytes], counts: dict[str, Any] | None = None
) -> tuple[ArtifactRef, Manifest]:
    """Write `files` as the content of a new incarnation and commit it."""
    folder = scratch / plan.stage
    for path, body in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
    stages.write_key(store, plan)
    incarnation = stages.claim(store, plan.kind, plan.key)
    entries = file_entries(folder)
    prefix = names.incarnation_prefix(plan.kind, plan.key, incarnation)
    upload_tree(store, f"{prefix}{names.CONTENT}/", folder, entries)
    report = readable({"stage": plan.stage})
    store.create(f"{prefix}{names.INFO}/{names.REPORT_SECTIONS}/{plan.stage}.json", report)
    manifest = Manifest(
        kind=plan.kind,
        key=plan.key,
        incarnation=incarnation,
        digest=artifact_digest(entries),
        content=entries,
        info=[],
        inputs={name: item.digest for name, item in plan.inputs.items()},
        versions={},
        counts=counts or {},
        facts={"run_id": f"{plan.run}-{plan.key[:10]}", "stage": plan.stage},
    )
    commit = stages.commit(store, manifest)
    return stages.ref(commit, manifest), manifest


def commit_all(
    store: Store, plan: RunPlan, scratch: Path, counts: dict[str, dict[str, Any]], until: str | None = None
) -> dict[str, tuple[ArtifactRef, Manifest]]:
    """Commit the stages of a plan in order, up to and including `until`, each with one file named after it."""
    done: dict[str, tuple[ArtifactRef, Manifest]] = {}
    for node in plan.stages:
        finished = finish(plan, node.name, done)
        commit = stages.read_commit(store, finished.kind, finished.key)
        if commit is not None:
            manifest = stages.read_manifest(store, finished.kind, finished.key, commit)
            done[node.name] = stages.ref(commit, manifest), manifest
            continue
        body = {CONTENT.get(node.name, "file.txt"): f"content of {finished.key}".encode()}
        done[node.name] = commit_stage(store, finished, scratch, body, counts.get(node.name))
        if node.name == until:
            break
    return done


CONTENT = {
    "train": "model/model.safetensors",
    "data": "ledger.parquet",
    "compare": "bad_cases.jsonl",
    "eval-tuned": "predictions.jsonl",
}
"""The file that `sftjobs pull` finds in each stage."""
