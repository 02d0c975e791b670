"""Run specs, facts and counts for tests, made without files."""

from typing import Any

from sftjobs.plan.configs import LIBRARIES
from sftjobs.plan.types import ArtifactRef, External, Facts, FileEntry, Manifest
from sftjobs.spec.run import RunSpec

PROMPT = {"input": "{{ text }}", "labels": {"a": "first", "b": "second"}, "output": {"format": "label"}}


def make_spec(**changes: Any) -> RunSpec:
    """A small valid spec; keyword arguments replace top-level fields."""
    fields: dict[str, Any] = {
        "name": "demo",
        "model": {"path": "model"},
        "store": {"uri": "store"},
        "prompt": PROMPT,
        "data": {"tasks": {"t": {"path": "train.jsonl"}}, "held_out": {"path": "held.jsonl"}},
    }
    return RunSpec.model_validate({**fields, **changes})


def external(name: str, digest: str = "0" * 64) -> External:
    return External(source=f"/data/{name}", digest=digest, files=[FileEntry(path=name, size=1, sha256=digest)])


def make_facts(**changes: Any) -> Facts:
    """Facts for `make_spec`: a model folder, one task, a held-out file."""
    versions = {library: "1.0" for libraries in LIBRARIES.values() for library in libraries}
    fields: dict[str, Any] = {
        "externals": {
            "model": external("model", "a" * 64),
            "task.t": external("train.jsonl", "b" * 64),
            "held_out": external("held.jsonl", "c" * 64),
        },
        "versions": versions,
    }
    return Facts.model_validate({**fields, **changes})


def data_counts(examples: int = 400, **changes: Any) -> dict[str, Any]:
    """Counts of a data stage with one task `t`."""
    task = {"examples": examples, "tokens": examples * 300, "supervised_tokens": examples * 4}
    fields: dict[str, Any] = {
        "records": examples,
        "tasks": {"t": task},
        "held_out": 100,
        "dropped": {},
        "labels": {"a": examples // 2, "b": examples - examples // 2},
        "max_example_tokens": 320,
        "common_prefix_tokens": 260,
        "longest_answer_tokens": 4,
        "output_format": "label",
    }
    return {**fields, **changes}


def artifact(kind: Any, name: str, counts: dict[str, Any] | None = None) -> tuple[ArtifactRef, Manifest]:
    """A committed artifact whose digest is derived from `name`."""
    digest = (name.encode().hex() + "0" * 64)[:64]
    ref = ArtifactRef(kind=kind, key=digest, incarnation=1, digest=digest, manifest_sha256=digest)
    manifest = Manifest(
        kind=kind, key=digest, incarnation=1, digest=digest, content=[], info=[], inputs={}, versions={},
        counts=counts or {},
    )  # fmt: skip
    return ref, manifest
