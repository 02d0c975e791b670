"""Checkpoints of a stage key: uploaded under an incarnation, visible once their COMMIT exists, shared by all attempts.

<stage>/inc/<k>/ckpt/step-N/rank-r/...     the files
<stage>/ckpt/step-N.inc-k.COMMIT           create-only: what must be there, with sizes and SHA-256
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sftjobs import names
from sftjobs.artifact.digest import MAX_FILES, file_entries
from sftjobs.artifact.transfer import fetch_tree, upload_tree
from sftjobs.canonical import readable
from sftjobs.crashpoints import crash_point
from sftjobs.errors import DamagedError, NotFoundError
from sftjobs.model import Document
from sftjobs.plan.types import FileEntry, Kind
from sftjobs.store.base import OnBytes, Store

KEEP = 2
"""Two, so that a damaged newest one does not cost everything."""
_COMMIT_NAME = re.compile(r"step-(\d+)\.inc-(\d+)\.COMMIT")
_STEP_NAME = re.compile(r"step-(\d+)")


class CheckpointCommit(Document):
    """Content of a checkpoint's COMMIT."""

    schema_number: int = 1
    kind: Kind
    key: str
    """Stage key: a checkpoint never serves another configuration."""
    incarnation: int
    step: int
    world_size: int
    files: list[FileEntry]
    """Paths start with `rank-<r>/`."""


@dataclass(frozen=True, order=True)
class StoredCheckpoint:
    """One committed checkpoint, as a listing shows it. Ordered by step, then incarnation."""

    step: int
    incarnation: int


def step_of(folder: Path) -> int | None:
    """The step of a local checkpoint folder `step-<N>`, or None if it is something else."""
    match = _STEP_NAME.fullmatch(folder.name)
    return int(match[1]) if match else None


def complete_steps(folder: Path, world_size: int) -> list[int]:
    """Steps in the local folder `folder` for which every rank has renamed its part into place, newest first."""
    steps = [(step_of(path), path) for path in (folder.iterdir() if folder.is_dir() else ())]
    complete = [
        step
        for step, path in steps
        if step is not None and all((path / names.rank_folder(rank)).is_dir() for rank in range(world_size))
    ]
    return sorted(complete, reverse=True)


def list_checkpoints(store: Store, kind: Kind, key: str) -> list[StoredCheckpoint]:
    """Committed checkpoints of a stage key, newest first."""
    prefix = f"{names.stage_prefix(kind, key)}{names.CHECKPOINT}/"
    matches = [_COMMIT_NAME.fullmatch(entry.key.removeprefix(prefix)) for entry in store.list(prefix)]
    return sorted((StoredCheckpoint(int(m[1]), int(m[2])) for m in matches if m), reverse=True)


def upload(
    store: Store,
    kind: Kind,
    key: str,
    incarnation: int,
    folder: Path,
    world_size: int,
    on_bytes: OnBytes | None = None,
) -> CheckpointCommit:
    """Upload the complete local checkpoint `folder` (`step-<N>`), then make it visible. May be repeated.

    Raises StoreError; DataError if the folder holds something that cannot be stored.
    """
    step = step_of(folder)
    assert step is not None, f"{folder} is no checkpoint folder"
    entries = [
        entry.model_copy(update={"path": f"{names.rank_folder(rank)}/{entry.path}"})
        for rank in range(world_size)
        for entry in file_entries(folder / names.rank_folder(rank), max_files=MAX_FILES)
    ]
    upload_tree(store, names.checkpoint_prefix(kind, key, incarnation, step), folder, entries, on_bytes)
    crash_point("after-checkpoint-files")
    commit = CheckpointCommit(
        kind=kind, key=key, incarnation=incarnation, step=step, world_size=world_size, files=entries
    )
    name = names.checkpoint_commit(kind, key, step, incarnation)
    store.create(name, readable(commit.model_dump(mode="json")))
    crash_point("after-checkpoint-commit")
    return commit


def fetch_newest(
    store: Store,
    kind: Kind,
    key: str,
    world_size: int,
    target: Path,
    on_skip: Callable[[str], None],
    on_bytes: OnBytes | None = None,
) -> Path | None:
    """Bring the newest valid checkpoint to `target/step-<N>`; None if there is none.

    A damaged one is reported to `on_skip` and the next older one is taken. Raises StoreError.
    """
    for found in list_checkpoints(store, kind, key):
        folder = target / names.step_folder(found.step)
        try:
            commit = _read(store, kind, key, found)
            if commit.world_size != world_size:
                on_skip(f"checkpoint of step {found.step} is of {commit.world_size} ranks, not {world_size}")
                continue
            prefix = names.checkpoint_prefix(kind, key, found.incarnation, found.step)
            fetch_tree(store, prefix, commit.files, folder, on_bytes)
        except DamagedError as damage:
            on_skip(f"checkpoint of step {found.step} is skipped, an older one will be used: {damage.key} is damaged")
            continue
        return folder
    return None


def _read(store: Store, kind: Kind, key: str, found: StoredCheckpoint) -> CheckpointCommit:
    name = names.checkpoint_commit(kind, key, found.step, found.incarnation)
    try:
        commit = CheckpointCommit.model_validate_json(store.get(name).body)
    except NotFoundError:
        raise DamagedError(name, f"{store.uri}/{name} was deleted while it was read") from None
    except ValidationError as error:
        raise DamagedError(name, f"{store.uri}/{name} is not a checkpoint's COMMIT: {error}") from None
    if (commit.kind, commit.key) != (kind, key):
        raise DamagedError(name, f"{store.uri}/{name} belongs to stage {commit.kind}/{commit.key}")
    return commit


def prune(store: Store, kind: Kind, key: str, newest: int, keep: int = KEEP) -> list[StoredCheckpoint]:
    """Delete all but `keep` of the checkpoints up to step `newest` (at least one stays), COMMIT first.

    Returns what was deleted. What is beyond `newest`, the step that the caller has just saved, does not count: it was
    damaged when the caller began from an older one, or belongs to somebody who is ahead.
    """
    doomed = [found for found in list_checkpoints(store, kind, key) if found.step <= newest][max(keep, 1) :]
    for old in doomed:
        store.delete(names.checkpoint_commit(kind, key, old.step, old.incarnation))
        for entry in list(store.list(names.checkpoint_prefix(kind, key, old.incarnation, old.step))):
            store.delete(entry.key)
    return doomed
