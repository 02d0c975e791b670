"""The node cache: inputs that the pods of a node share, known and verified by digest.

<cache>/sha256/<digest>      one file each, read-only; its mtime is the time of its last use
<cache>/sha256/.tmp-...      being written; it gets its name when it is whole and durable

A pod works on a copy of its own, hashed while it is copied: nothing that happens to the cache afterwards (eviction,
damage, another pod) can reach it. In pods a link is not to be had, since cache and scratch are different mounts.
Nothing here is needed: whatever goes wrong is said in the log, and the file comes from the store.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sftjobs import names
from sftjobs.plan.types import FileEntry
from sftjobs.store import keys
from sftjobs.store.base import OnBytes

MIN_BYTES = 1 << 20
"""Smaller files are fetched as quickly as they are looked up."""
SPARED_S = 3600.0
"""What was used in this time is never evicted: others are starting with it now."""
ABANDONED_S = 3600.0
"""A temporary file that nobody has written to for so long belongs to a pod that was killed."""
PARALLEL = 4
_CHUNK = 1 << 20


@dataclass(frozen=True)
class NodeCache:
    """A folder that many agents use at once. No method raises OSError."""

    folder: Path
    max_bytes: int
    say: Callable[[str], None]

    def take(self, entries: Sequence[FileEntry], target: Path, on_bytes: OnBytes | None = None) -> list[FileEntry]:
        """Put copies of what is here into the folder `target`; returns the entries that must be fetched."""
        large = [entry for entry in entries if entry.size >= MIN_BYTES and keys.why_not(entry.path) is None]
        with ThreadPoolExecutor(PARALLEL) as pool:  # hashlib lets other threads run
            there = pool.map(lambda entry: self._take(entry, target / entry.path, on_bytes), large)
            found = {entry.path for entry, is_there in zip(large, there, strict=True) if is_there}
        if large:
            self.say(f"node cache: {len(found)} of {len(large)} large files were there")
        return [entry for entry in entries if entry.path not in found]

    def keep(self, entries: Sequence[FileEntry], source: Path, on_bytes: OnBytes | None = None) -> None:
        """Keep copies of files that were fetched to the folder `source`."""
        for entry in entries:
            if MIN_BYTES <= entry.size <= self.max_bytes:
                try:
                    self._keep(entry, source / entry.path, on_bytes)
                except OSError as error:  # full, read-only, gone: so it is for the other files
                    self.say(f"node cache: {self.folder}: {error.strerror or error}; going on without it")
                    return

    def _take(self, entry: FileEntry, target: Path, on_bytes: OnBytes | None) -> bool:
        path, part = self._place(entry), target.with_name(f"{keys.TEMPORARY}{target.name}")
        try:
            with path.open("rb") as kept:
                target.parent.mkdir(parents=True, exist_ok=True)
                if _copy(kept, part, on_bytes) == (entry.size, entry.sha256):
                    part.replace(target)
                    with suppress(OSError):
                        os.utime(path)
                    return True
                self.say(f"node cache: {path} is damaged; it is removed, and fetched again")
                if os.path.samestat(path.stat(), os.fstat(kept.fileno())):  # not if another pod has replaced it
                    path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            self.say(f"node cache: {path}: {error.strerror or error}; the file is fetched from the store")
        finally:
            part.unlink(missing_ok=True)
        return False

    def _keep(self, entry: FileEntry, source: Path, on_bytes: OnBytes | None) -> None:
        path = self._place(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return
        if not self._make_room(entry.size):
            self.say(f"node cache: {self.folder} is full of what was used in the last hour; a file is not kept")
            return
        part = path.with_name(f"{keys.TEMPORARY}{secrets.token_hex(8)}")
        try:
            with source.open("rb") as fetched:
                copied = _copy(fetched, part, (lambda _: on_bytes(0)) if on_bytes else None, durable=True)
            if copied == (entry.size, entry.sha256):
                part.chmod(0o444)  # a program that writes where it should only read is stopped
                part.replace(path)  # atomic; if another pod was first, it is the same file
        finally:
            part.unlink(missing_ok=True)

    def _place(self, entry: FileEntry) -> Path:
        return self.folder / "sha256" / entry.sha256

    def _make_room(self, needed: int) -> bool:
        """Delete what was not used for the longest time, until `needed` bytes fit; False if they cannot."""
        now, used = time.time(), 0
        found: list[tuple[float, int, Path]] = []
        for path in (self.folder / "sha256").iterdir():
            with suppress(FileNotFoundError):  # another pod tidies up, too
                status = path.stat()
                if path.name.startswith(keys.TEMPORARY) and now - status.st_mtime > ABANDONED_S:
                    path.unlink()
                    continue
                used += status.st_size
                found.append((status.st_mtime, status.st_size, path))
        for last_used, size, path in sorted(found):
            if used + needed <= self.max_bytes or now - last_used < SPARED_S:
                break
            path.unlink(missing_ok=True)
            used -= size
            self.say(f"node cache: {path.name[:12]} ({size / 2**30:.1f} GiB) made room")
        return used + needed <= self.max_bytes


def node_cache(environ: Mapping[str, str], say: Callable[[str], None]) -> NodeCache | None:
    """The cache that cluster.yaml gives this node, or None."""
    folder, gib = environ.get(names.ENV_CACHE), environ.get(names.ENV_CACHE_GIB, "")
    if not folder or not gib.isdecimal():
        return None
    return NodeCache(Path(folder), int(gib) << 30, say)


def _copy(source: BinaryIO, target: Path, on_bytes: OnBytes | None, durable: bool = False) -> tuple[int, str]:
    """Size and SHA-256 of what was copied; `on_bytes` may raise to end it."""
    hashed, size = hashlib.sha256(), 0
    with target.open("wb") as copy:
        while chunk := source.read(_CHUNK):
            hashed.update(chunk)
            copy.write(chunk)
            size += len(chunk)
            if on_bytes is not None:
                on_bytes(len(chunk))
        if durable:
            copy.flush()
            os.fsync(copy.fileno())
    return size, hashed.hexdigest()
