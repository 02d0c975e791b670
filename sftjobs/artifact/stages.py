"""The protocol of one stage key: claim an incarnation, fill it, commit it once (docs/store.md).

A stage is done if and only if its COMMIT exists and names a manifest with that SHA-256. Everything else (LEASE,
incarnations without COMMIT, Jobs) only saves work.
"""

import os
import platform
import secrets
import time
from typing import Literal

from pydantic import ValidationError

from sftjobs import names
from sftjobs.artifact.lease import Lease
from sftjobs.canonical import readable, sha256
from sftjobs.crashpoints import crash_point
from sftjobs.errors import AlreadyExistsError, DamagedError, NotFoundError
from sftjobs.plan.types import ArtifactRef, Commit, Kind, Manifest, StagePlan
from sftjobs.store.base import Store

WAY_OUT = "run `sftjobs discard RUN STAGE` and start the run again: the stage is then made anew"


def read_commit(store: Store, kind: Kind, key: str) -> Commit | None:
    """The COMMIT of a stage key, or None if the stage is not done. Raises DamagedError if it cannot be read."""
    name = names.stage_prefix(kind, key) + names.COMMIT
    try:
        body = store.get(name).body
    except NotFoundError:
        return None
    try:
        return Commit.model_validate_json(body)
    except ValidationError as error:
        raise DamagedError(
            name, f"{store.uri}/{name} is not a COMMIT ({error.error_count()} errors); {WAY_OUT}"
        ) from None


def read_manifest(store: Store, kind: Kind, key: str, commit: Commit) -> Manifest:
    """The manifest that `commit` names. Raises DamagedError if it is missing or has another SHA-256."""
    return _manifest_at(store, kind, key, commit.incarnation, commit.manifest_sha256)


def manifest_of(store: Store, artifact: ArtifactRef) -> Manifest:
    """The manifest of an artifact that is somebody's input. Raises DamagedError as `read_manifest`."""
    return _manifest_at(store, artifact.kind, artifact.key, artifact.incarnation, artifact.manifest_sha256)


def _manifest_at(store: Store, kind: Kind, key: str, incarnation: int, wanted: str) -> Manifest:
    name = names.incarnation_prefix(kind, key, incarnation) + names.MANIFEST
    try:
        body = store.get(name).body
    except NotFoundError:
        raise DamagedError(name, f"{store.uri}/{name} is missing although the stage is committed; {WAY_OUT}") from None
    found = sha256(body)
    if found != wanted:
        rule = f"has SHA-256 {found}, but was committed with {wanted}"
        raise DamagedError(name, f"{store.uri}/{name} {rule}; {WAY_OUT}")
    return Manifest.model_validate_json(body)


def check_sizes(store: Store, kind: Kind, key: str, manifest: Manifest) -> None:
    """Look by one LIST whether every file of the manifest is there with its size. Raises DamagedError for the first."""
    prefix = names.incarnation_prefix(kind, key, manifest.incarnation)
    sizes = {entry.key: entry.size for entry in store.list(prefix)}
    for part, files in ((names.CONTENT, manifest.content), (names.INFO, manifest.info)):
        for file in files:
            name = f"{prefix}{part}/{file.path}"
            if name not in sizes:
                raise DamagedError(name, f"{store.uri}/{name} is missing although the stage is committed; {WAY_OUT}")
            if sizes[name] != file.size:
                rule = f"has {sizes[name]} bytes, but was committed with {file.size}"
                raise DamagedError(name, f"{store.uri}/{name} {rule}; {WAY_OUT}")


def write_key(store: Store, plan: StagePlan) -> None:
    """Record what the key was computed from. Equal keys have equal bodies, so whoever comes second succeeds too."""
    store.create(names.stage_prefix(plan.kind, plan.key) + names.KEY_JSON, readable(plan.key_json))


def claim(store: Store, kind: Kind, key: str) -> int:
    """A new incarnation, from 1: the number is this process's alone, over all runs and attempts, for ever."""
    folders = store.list_folders(names.incarnations_prefix(kind, key))
    taken = [int(name) for name in folders if name.isdecimal()]
    incarnation = max(taken, default=0) + 1
    body = {
        "nonce": secrets.token_hex(16),
        "host": platform.node(),
        "pid": os.getpid(),
        "run_id": os.environ.get(names.ENV_RUN_ID, ""),
        "claimed": time.time(),
    }
    while True:
        try:
            store.create(names.incarnation_prefix(kind, key, incarnation) + names.CLAIM, readable(body))
        except AlreadyExistsError:
            incarnation += 1
        else:
            return incarnation


def commit(store: Store, manifest: Manifest) -> Commit:
    """Write MANIFEST.json, then COMMIT. Returns the COMMIT that stands: another's, if it was first.

    Whoever loses that race has succeeded all the same: the stage is done. `lost_race` tells whether the two results
    are equal.
    """
    body = readable(manifest.model_dump(mode="json"))
    store.create(names.incarnation_prefix(manifest.kind, manifest.key, manifest.incarnation) + names.MANIFEST, body)
    crash_point("after-manifest")
    mine = Commit(incarnation=manifest.incarnation, manifest_sha256=sha256(body), nonce=secrets.token_hex(16))
    name = names.stage_prefix(manifest.kind, manifest.key) + names.COMMIT
    try:
        store.create(name, readable(mine.model_dump(mode="json")))
    except AlreadyExistsError:
        standing = read_commit(store, manifest.kind, manifest.key)
        if standing is None:  # discarded between the two calls: say so rather than commit over a person's wish
            raise
        return standing
    return mine


def lost_race(store: Store, manifest: Manifest, standing: Commit) -> Literal["", "equal", "different"]:
    """How `manifest` relates to the COMMIT that stands: '' if it is the one, else whether the artifacts are equal."""
    if standing.incarnation == manifest.incarnation:
        return ""
    first = read_manifest(store, manifest.kind, manifest.key, standing)
    return "equal" if first.digest == manifest.digest else "different"


def ref(commit: Commit, manifest: Manifest) -> ArtifactRef:
    """The committed artifact as an input of other stages."""
    return ArtifactRef(
        kind=manifest.kind,
        key=manifest.key,
        incarnation=commit.incarnation,
        digest=manifest.digest,
        manifest_sha256=commit.manifest_sha256,
    )


def discard(store: Store, kind: Kind, key: str) -> int:
    """Delete what a stage key holds, COMMIT first; returns the number of deleted objects.

    A reader sees a whole artifact or none at every moment. The CLAIMs stay: a late writer of an old incarnation can
    then never mix its files with those of a new one. What such a writer adds meanwhile is deleted too. Raises BusyError
    while somebody works on the stage.
    """
    prefix = names.stage_prefix(kind, key)
    deleted = 0
    with Lease(store, prefix + names.LEASE, what="sftjobs discard"):
        while doomed := _doomed(store, prefix):
            for name in doomed:
                store.delete(name)
            deleted += len(doomed)
    return deleted


def _doomed(store: Store, prefix: str) -> list[str]:
    """Everything of a stage key but its CLAIMs and its LEASE, COMMITs first."""
    found = [entry.key for entry in store.list(prefix)]
    commits = [name for name in found if name == prefix + names.COMMIT]
    checkpoints = [name for name in found if name.startswith(prefix + names.CHECKPOINT + "/")]
    stays = {prefix + names.LEASE, *commits, *checkpoints}
    return commits + checkpoints + [n for n in found if n not in stays and not n.endswith("/" + names.CLAIM)]
