"""Checkpoints of a stage key: uploaded under an incarnation, visible once their COMMIT exists, shared by all attempts.

<stage>/inc/<k>/ckpt/step-N/rank-r/...      the files, uploaded by the node that has the rank
<stage>/inc/<k>/ckpt/step-N/node-n.json     create-only: the node has uploaded all of these, with sizes and SHA-256
<stage>/ckpt/step-N.inc-k.COMMIT            create-only: names the node-n.json of every node, by SHA-256
"""

import re
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from sftjobs import names
from sftjobs.artifact.digest import MAX_FILES, file_entries
from sftjobs.artifact.transfer import fetch_tree, upload_tree
from sftjobs.canonical import readable, sha256
from sftjobs.crashpoints import crash_point
from sftjobs.errors import CheckpointError, DamagedError, NotFoundError
from sftjobs.model import Document
from sftjobs.plan.types import FileEntry, Kind
from sftjobs.store.base import OnBytes, Store

PARALLEL = 16
"""Requests at once, where there is one per node."""
D = TypeVar("D", bound=Document)
_COMMIT_NAME = re.compile(r"step-(\d+)\.inc-(\d+)\.COMMIT")
_STEP_NAME = re.compile(r"step-(\d+)")


class NodePart(Document):
    """What one node has uploaded of a checkpoint."""

    schema_number: int = 1
    node: int
    files: list[FileEntry]
    """Paths start with `rank-<r>/`."""


class CheckpointCommit(Document):
    """Content of a checkpoint's COMMIT."""

    schema_number: int = 2
    kind: Kind
    key: str
    """Stage key: a checkpoint never serves another configuration."""
    incarnation: int
    step: int
    world_size: int
    parts: list[FileEntry]
    """`node-<n>.json` of every node, by node."""


@dataclass(frozen=True, order=True)
class StoredCheckpoint:
    """One committed checkpoint, as a listing shows it. Ordered by step, then incarnation."""

    step: int
    incarnation: int


def step_of(folder: Path) -> int | None:
    """The step of a local checkpoint folder `step-<N>`, or None if it is something else."""
    match = _STEP_NAME.fullmatch(folder.name)
    return int(match[1]) if match else None


def complete_steps(folder: Path, ranks: Collection[int]) -> list[int]:
    """Steps in the local folder `folder` for which all of `ranks` have renamed their part into place, newest first."""
    steps = [(step_of(path), path) for path in (folder.iterdir() if folder.is_dir() else ())]
    complete = [
        step
        for step, path in steps
        if step is not None and all((path / names.rank_folder(rank)).is_dir() for rank in ranks)
    ]
    return sorted(complete, reverse=True)


def list_checkpoints(store: Store, kind: Kind, key: str) -> list[StoredCheckpoint]:
    """Committed checkpoints of a stage key, newest first."""
    prefix = f"{names.stage_prefix(kind, key)}{names.CHECKPOINT}/"
    matches = [_COMMIT_NAME.fullmatch(entry.key.removeprefix(prefix)) for entry in store.list(prefix)]
    return sorted((StoredCheckpoint(int(m[1]), int(m[2])) for m in matches if m), reverse=True)


@dataclass(frozen=True)
class Place:
    """Where one attempt uploads its checkpoints."""

    store: Store
    kind: Kind
    key: str
    incarnation: int

    def prefix(self, step: int) -> str:
        return names.checkpoint_prefix(self.kind, self.key, self.incarnation, step)


def upload_part(
    place: Place, folder: Path, node: int, ranks: Iterable[int], on_bytes: OnBytes | None = None
) -> NodePart:
    """Upload what the ranks of one node have left in `folder` (`step-<N>`), then say so. May be repeated.

    Raises StoreError; DataError if the folder holds something that cannot be stored.
    """
    step = step_of(folder)
    assert step is not None, f"{folder} is no checkpoint folder"
    entries = [
        entry.model_copy(update={"path": f"{names.rank_folder(rank)}/{entry.path}"})
        for rank in ranks
        for entry in file_entries(folder / names.rank_folder(rank), max_files=MAX_FILES)
    ]
    upload_tree(place.store, place.prefix(step), folder, entries, on_bytes)
    crash_point("after-checkpoint-files")
    part = NodePart(node=node, files=entries)
    place.store.create(place.prefix(step) + names.node_part(node), _body(part))
    crash_point("after-checkpoint-part")
    return part


def commit(place: Place, step: int, world_size: int, nodes: int) -> int:
    """Make a checkpoint visible once every node has uploaded its part; returns its size in bytes. May be repeated.

    Every file is looked for in a listing, with its size. Raises DamagedError if something is missing; StoreError.
    """
    prefix = place.prefix(step)
    sizes = {entry.key.removeprefix(prefix): entry.size for entry in place.store.list(prefix)}
    wanted = [names.node_part(node) for node in range(nodes)]
    with ThreadPoolExecutor(PARALLEL) as pool:
        bodies = list(pool.map(lambda name: _get(place.store, prefix + name), wanted))
    parts = [_parse(NodePart, body, prefix + name) for name, body in zip(wanted, bodies, strict=True)]
    files = [file for part in parts for file in part.files]
    for file in files:
        if sizes.get(file.path) != file.size:
            found = f"has {sizes[file.path]:,} bytes" if file.path in sizes else "is not there"
            raise DamagedError(prefix + file.path, f"{prefix}{file.path} {found}, {file.size:,} bytes were uploaded")
    entries = [
        FileEntry(path=name, size=len(body), sha256=sha256(body)) for name, body in zip(wanted, bodies, strict=True)
    ]
    document = CheckpointCommit(
        kind=place.kind, key=place.key, incarnation=place.incarnation, step=step, world_size=world_size, parts=entries
    )
    place.store.create(names.checkpoint_commit(place.kind, place.key, step, place.incarnation), _body(document))
    crash_point("after-checkpoint-commit")
    return sum(file.size for file in files)


def fetch_part(
    store: Store,
    kind: Kind,
    key: str,
    found: StoredCheckpoint,
    world_size: int,
    node: int,
    target: Path,
    on_bytes: OnBytes | None = None,
) -> Path:
    """Bring what a node needs of a checkpoint to `target/step-<N>`: the parts of its own ranks and of rank 0.

    Raises DamagedError; CheckpointError if it was made by another number of ranks; StoreError.
    """
    name = names.checkpoint_commit(kind, key, found.step, found.incarnation)
    document = _parse(CheckpointCommit, _get(store, name), name)
    if (document.kind, document.key) != (kind, key):
        raise DamagedError(name, f"{store.uri}/{name} belongs to stage {document.kind}/{document.key}")
    if document.world_size != world_size:
        raise CheckpointError(
            f"checkpoint of step {found.step} was made by {document.world_size} ranks, this training has {world_size}; "
            f"{CheckpointError.way_out}"
        )
    prefix = names.checkpoint_prefix(kind, key, found.incarnation, found.step)
    files = _files_of(store, prefix, document, node)
    if node != 0:
        first = f"{names.rank_folder(0)}/"
        files += [file for file in _files_of(store, prefix, document, 0) if file.path.startswith(first)]
    folder = target / names.step_folder(found.step)
    fetch_tree(store, prefix, files, folder, on_bytes)
    return folder


def _files_of(store: Store, prefix: str, document: CheckpointCommit, node: int) -> list[FileEntry]:
    name = names.node_part(node)
    entry = next((part for part in document.parts if part.path == name), None)
    body = _get(store, prefix + name)
    if entry is None or sha256(body) != entry.sha256:
        raise DamagedError(prefix + name, f"{store.uri}/{prefix}{name} is not what COMMIT names")
    return _parse(NodePart, body, prefix + name).files


def _get(store: Store, name: str) -> bytes:
    try:
        return store.get(name).body
    except NotFoundError:
        raise DamagedError(name, f"{store.uri}/{name} is not there") from None


def _parse(kind: type[D], body: bytes, name: str) -> D:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise DamagedError(name, f"{name} is not what it should be: {error}") from None


def _body(document: Document) -> bytes:
    return readable(document.model_dump(mode="json"))
