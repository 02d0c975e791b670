"""What a file and an artifact are known by: SHA-256, streamed, many files at a time."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sftjobs.canonical import digest
from sftjobs.errors import DataError
from sftjobs.plan.types import FileEntry
from sftjobs.store import keys
from sftjobs.store.base import OnBytes

MAX_FILES = 200
"""Files in one artifact: every one costs requests and a line in the manifest. Pack or shard what is more."""
_CHUNK = 1 << 20


def hash_file(path: Path, on_bytes: OnBytes | None = None) -> tuple[int, str]:
    """Size in bytes and hex SHA-256 of a file, read once with bounded memory."""
    hashed = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    size = 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hashed.update(buffer[:count])
            size += count
            if on_bytes is not None:
                on_bytes(count)
    return size, hashed.hexdigest()


def file_entries(folder: Path, on_bytes: OnBytes | None = None, max_files: int = MAX_FILES) -> list[FileEntry]:
    """Path, size and SHA-256 of every file below `folder`, sorted by path; empty if there is no such folder.

    Raises DataError if something below is no plain file, leads out of the folder, cannot be named in a store, or if
    there are more than `max_files`.
    """
    files = sorted(_files(folder, folder.resolve()), key=lambda path: path.encode())
    if len(files) > max_files:
        way_out = "pack small files into one, or write larger shards"
        raise DataError(f"{folder}: {len(files)} files, an artifact has at most {max_files}; {way_out}")
    # hashlib lets other threads run while it hashes
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        hashes = list(pool.map(lambda path: hash_file(folder / path, on_bytes), files))
    return [FileEntry(path=path, size=size, sha256=sha) for path, (size, sha) in zip(files, hashes, strict=True)]


def _files(folder: Path, real: Path) -> Iterable[str]:
    """Relative paths of the files below `folder`, whose resolved path is `real`."""
    for parent, inner, names in os.walk(folder):
        for name in inner + names:
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            reason = keys.why_not(relative) or _not_plain(path, real, is_folder=name in inner)
            if reason is not None:
                raise DataError(f"{folder}: {relative!r} cannot be part of an artifact: it {reason}")
        yield from (Path(parent, name).relative_to(folder).as_posix() for name in names)


def _not_plain(path: Path, real: Path, is_folder: bool) -> str | None:
    """Why `path` is neither a folder nor a file of the artifact; None if it is."""
    if path.is_symlink():
        if is_folder:
            return "is a symbolic link to a folder"
        if not path.exists():
            return "is a symbolic link that leads nowhere"
        if not path.resolve().is_relative_to(real):
            return "is a symbolic link that leads out of the folder"
    if not is_folder and not path.is_file():
        return "is no regular file"
    return None


def artifact_digest(entries: Iterable[FileEntry]) -> str:
    """The digest of an artifact: hex SHA-256 over the canonical JSON of its sorted [path, size, sha256]."""
    return digest(sorted([entry.path, entry.size, entry.sha256] for entry in entries))
