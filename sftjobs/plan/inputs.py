"""External inputs: what a path in run.yaml stands for, and its digest.

A path is a local file or folder, `s3://bucket/key`, or `store:<digest>/<name>` (brought in by `sftjobs push`;
a folder has a `/` at its end).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sftjobs import names
from sftjobs.artifact.digest import artifact_digest, hash_file
from sftjobs.canonical import readable, sha256
from sftjobs.errors import DataError, NotFoundError
from sftjobs.plan.types import External, FileEntry
from sftjobs.spec.places import STORE_SCHEME
from sftjobs.store import keys
from sftjobs.store.base import Entry, Store

_DIGEST = re.compile(r"[0-9a-f]{64}")
OnBytes = Callable[[int], None]


@dataclass
class DigestCache:
    """Digests of local files by path, size, modification time and inode, kept in one JSON file.

    A file that is changed without changing any of these is not noticed here; the agent hashes inputs again.
    """

    path: Path | None

    def __post_init__(self) -> None:
        self._known: dict[str, list[str | int]] = {}
        if self.path is not None and self.path.is_file():
            try:
                self._known = json.loads(self.path.read_text("utf-8"))
            except (ValueError, OSError):
                self._known = {}  # a cache: losing it costs one hashing

    def entry(self, file: Path, name: str, on_bytes: OnBytes | None) -> FileEntry:
        """Entry of one file under the relative path `name`."""
        stat = file.stat()
        stamp: list[str | int] = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        known = self._known.get(str(file))
        if known is not None and known[:3] == stamp:
            return FileEntry(path=name, size=stat.st_size, sha256=str(known[3]))
        size, sha256 = hash_file(file, on_bytes)
        self._known[str(file)] = [*stamp, sha256]
        return FileEntry(path=name, size=size, sha256=sha256)

    def save(self) -> None:
        """Write the cache; a failure is harmless."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(".tmp")
            temporary.write_bytes(readable(self._known))
            temporary.replace(self.path)
        except OSError:
            pass


def local(path: Path, cache: DigestCache, on_bytes: OnBytes | None = None) -> External:
    """A file or folder of this machine. Raises DataError if it is missing or empty."""
    if path.is_file():
        entry = cache.entry(path, path.name, on_bytes)
        return External(source=str(path), digest=entry.sha256, files=[entry])
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
        if not files:
            raise DataError(f"{path}: the folder is empty")
        entries = [cache.entry(file, file.relative_to(path).as_posix(), on_bytes) for file in files]
        return External(source=str(path), digest=artifact_digest(entries), files=entries)
    raise DataError(f"{path}: no such file or folder")


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def pushed(uri: str, store: Store) -> External:
    """An input that `sftjobs push` brought into the store. Raises DataError if it is not there."""
    digest, _, name = uri.removeprefix(STORE_SCHEME).partition("/")
    if _DIGEST.fullmatch(digest) is None:
        raise DataError(f"{uri}: write store:<64 hex digits>/<name>, as `sftjobs push` prints it")
    try:
        if name.endswith("/"):
            listing = json.loads(store.get(f"{names.pushed_input(digest)}.files.json").body)
            entries = [FileEntry.model_validate(item) for item in listing]
            if artifact_digest(entries) != digest:
                raise DataError(f"{uri}: the list of files in the store does not have this digest; push it again")
            return External(source=uri, digest=digest, files=[_plain(uri, entry) for entry in entries])
        found = [entry for entry in store.list(names.pushed_input(digest)) if entry.key == names.pushed_input(digest)]
        if not found:
            raise NotFoundError(names.pushed_input(digest))
        entry = _plain(uri, FileEntry(path=name, size=found[0].size, sha256=digest))
        return External(source=uri, digest=digest, files=[entry])
    except NotFoundError:
        raise DataError(f"{uri}: not in the store {store.uri}; push it again with `sftjobs push`") from None


def _plain(uri: str, entry: FileEntry) -> FileEntry:
    """The entry; raises DataError if its path could lead out of the input's folder."""
    reason = keys.why_not(entry.path)
    if reason is not None:
        raise DataError(f"{uri}: {entry.path!r} cannot name a file of an input: it {reason}")
    return entry


class DigestMemo:
    """Digests of objects outside the store by place, size and ETag, in the store: read once, by whoever comes first.

    Neither a laptop nor a controller that is started again has to read a model of many gigabytes to know what it is.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, place: Store, entry: Entry, on_bytes: OnBytes | None) -> str:
        """Raises StoreError."""
        stamp = f"{place.uri}/{entry.key}|{entry.size}|{entry.etag}"
        key = names.input_digest(sha256(stamp.encode()))
        try:
            return self._store.get(key).body.decode("ascii").strip()
        except NotFoundError:
            digest = place.digest(entry.key, on_bytes)
            self._store.create(key, f"{digest}\n".encode())
            return digest


def remote(uri: str, open_uri: Callable[[str], Store], memo: DigestMemo, on_bytes: OnBytes | None = None) -> External:
    """A file or folder on S3; nothing of it is kept on this machine."""
    prefix = uri.rstrip("/")
    parent, _, name = prefix.rpartition("/")
    store = open_uri(parent)
    found = [e for e in store.list(name) if e.key == name or e.key.startswith(f"{name}/")]
    if not found:
        raise DataError(f"{uri}: nothing there; is the bucket and the key right?")
    single = len(found) == 1 and found[0].key == name
    entries = []
    for entry in found:
        path = name if single else entry.key.removeprefix(f"{name}/")
        entries.append(FileEntry(path=path, size=entry.size, sha256=memo.of(store, entry, on_bytes)))
    entries.sort(key=lambda e: e.path)
    digest = entries[0].sha256 if single else artifact_digest(entries)
    return External(source=prefix, digest=digest, files=entries)
