"""Move the files of an artifact between a folder and a store: parallel, verified, resumable.

Nothing is believed because it was written: a file counts when size and SHA-256 are those of its entry.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from sftjobs.artifact.digest import hash_file
from sftjobs.errors import DamagedError, DataError, NotFoundError
from sftjobs.plan.types import FileEntry
from sftjobs.store import keys
from sftjobs.store.base import OnBytes, Store
from sftjobs.store.disk import explained_local

PARALLEL_FILES = 32
"""Files that are moved at a time. Memory is bounded by the store, which counts parts, not files."""


def upload_tree(
    store: Store, prefix: str, folder: Path, entries: Sequence[FileEntry], on_bytes: OnBytes | None = None
) -> None:
    """Copy the files of `entries` from `folder` to the store, under `prefix`.

    Running it again after an interruption succeeds. Raises DataError if a file changed since its entry was made,
    AlreadyExistsError if the store holds another file under this key, StoreError.
    """

    def one(entry: FileEntry) -> None:
        source = folder / entry.path
        try:
            sent = store.upload(key_of(prefix, entry), source, on_bytes)
        except OSError as error:
            raise DataError(f"{source}: cannot be read: {error.strerror}") from error
        if sent != entry.sha256:
            raise DataError(f"{source}: changed while it was uploaded; nothing may write to an output that is complete")

    _for_each(one, entries)


def download_tree(
    store: Store, prefix: str, entries: Sequence[FileEntry], target: Path, on_bytes: OnBytes | None = None
) -> None:
    """Copy the files of `entries` from the store to the folder `target`.

    A file that is there already with the right content is kept. A file has its name only after it was verified.
    Raises DamagedError (with the key) if an object is missing or is not what its entry says; SftError if the disk is
    full; StoreError.
    """

    def one(entry: FileEntry) -> None:
        path, part = _place(target, entry)
        if _is(path, entry):
            _report(on_bytes, entry.size)
            part.unlink(missing_ok=True)
            return
        key = key_of(prefix, entry)

        def read() -> tuple[str, int]:
            part.unlink(missing_ok=True)
            return store.download(key, part, on_bytes), part.stat().st_size

        try:
            _verify(store, key, entry, read)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    with explained_local(target):
        _for_each(one, entries)


def kept_and_other(entries: Sequence[FileEntry], target: Path) -> tuple[list[FileEntry], list[FileEntry]]:
    """Entries whose file is in the folder `target` already, and those in whose place there is something else."""
    kept, other = [], []
    with explained_local(target):
        for entry in entries:
            path = target / entry.path
            if _is(path, entry):
                kept.append(entry)
            elif path.exists() or path.is_symlink():
                other.append(entry)
    return kept, other


def link_tree(
    store: Store, prefix: str, entries: Sequence[FileEntry], target: Path, on_bytes: OnBytes | None = None
) -> None:
    """Make symbolic links in `target` to the verified files of a store that has local paths: nothing is copied.

    Raises DamagedError (with the key), StoreError; ValueError if the store has no local paths.
    """

    def one(entry: FileEntry) -> None:
        key = key_of(prefix, entry)
        stored = store.local_path(key)
        if stored is None:
            raise ValueError(f"{store.uri} has no local paths")
        _verify(store, key, entry, lambda: _hash_of(stored, key, on_bytes))
        path, link = _place(target, entry)
        link.unlink(missing_ok=True)
        link.symlink_to(stored)
        link.replace(path)

    with explained_local(target):
        _for_each(one, entries)


def fetch_tree(
    store: Store, prefix: str, entries: Sequence[FileEntry], target: Path, on_bytes: OnBytes | None = None
) -> None:
    """Bring the verified files of `entries` into `target`: links if the store is on this machine, else copies."""
    in_place = bool(entries) and store.local_path(key_of(prefix, entries[0])) is not None
    (link_tree if in_place else download_tree)(store, prefix, entries, target, on_bytes)


def key_of(prefix: str, entry: FileEntry) -> str:
    """Key of a file of the artifact whose files are under `prefix` (with or without a `/` at its end).

    Raises DamagedError if the path of the entry could lead out of the artifact.
    """
    reason = keys.why_not(entry.path)
    if reason is not None:
        raise DamagedError(prefix, f"{prefix}: the manifest lists {entry.path!r}, which {reason}")
    return f"{prefix.rstrip('/')}/{entry.path}" if prefix else entry.path


def _for_each(work: Callable[[FileEntry], None], entries: Sequence[FileEntry]) -> None:
    """Do `work` for every entry, several at a time; the first error stops what has not begun and is raised."""
    pool = ThreadPoolExecutor(PARALLEL_FILES)
    try:
        futures = [pool.submit(work, entry) for entry in entries]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _verify(store: Store, key: str, entry: FileEntry, read: Callable[[], tuple[str, int]]) -> None:
    """Raise DamagedError unless `read`, which gives SHA-256 and size, finds what the entry says.

    It reads a second time after a difference: that tells damage in the store from damage on the way.
    """
    way_out = "discard the stage that made it with `sftjobs discard RUN STAGE` and resume the run"
    try:
        sha256, size = read()
        if (size, sha256) != (entry.size, entry.sha256):
            sha256, size = read()
    except NotFoundError:
        raise DamagedError(key, f"{store.uri}: {key} is missing, though its manifest lists it; {way_out}") from None
    if size != entry.size:
        message = f"{store.uri}: {key} has {size} bytes, its manifest says {entry.size}; {way_out}"
        raise DamagedError(key, message)
    if sha256 != entry.sha256:
        message = f"{store.uri}: {key} is damaged: SHA-256 {sha256}, its manifest says {entry.sha256}; {way_out}"
        raise DamagedError(key, message)


def _hash_of(path: Path, key: str, on_bytes: OnBytes | None) -> tuple[str, int]:
    try:
        size, sha256 = hash_file(path, on_bytes)
    except FileNotFoundError:
        raise NotFoundError(key) from None
    return sha256, size


def _is(path: Path, entry: FileEntry) -> bool:
    """True if the file is there and is what the entry says."""
    with contextlib.suppress(OSError):
        return path.stat().st_size == entry.size and hash_file(path)[1] == entry.sha256
    return False


def _place(target: Path, entry: FileEntry) -> tuple[Path, Path]:
    """Where the file will be, and where it is until it is verified: a name that no file of an artifact can have."""
    path = target / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    return path, path.with_name(f"{keys.TEMPORARY}{path.name}")


def _report(on_bytes: OnBytes | None, count: int) -> None:
    if on_bytes is not None:
        on_bytes(count)
