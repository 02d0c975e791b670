"""The store as a folder: every object is a file that appears complete or not at all.

An object is written to a temporary file in its own folder, made durable with fsync, and given its name by `link(2)`,
which fails if the name is taken: that is the create-only write. Replacing compares the etag under a lock and renames.
"""

import builtins
import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from sftjobs.errors import AlreadyExistsError, ChangedError, StoreConfigError
from sftjobs.store import disk, keys
from sftjobs.store.base import Entry, Object, OnBytes
from sftjobs.store.copying import CHUNK, copy_hashed, same_content

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class FolderStore:
    """A `sftjobs.store.base.Store` in a folder, which need not exist before the first write."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    @property
    def uri(self) -> str:
        """The absolute path of the folder."""
        return str(self._root)

    def create(self, key: str, body: bytes) -> str:
        path = self._path(key)
        with (
            disk.explained(self._root, "writing", key),
            disk.temporary(path.parent, lambda file: file.write(body)) as new,
        ):
            etag = disk.etag(new.stat())
            if self._link(new, path):
                return etag
        existing = self.get(key)
        if existing.body != body:
            raise AlreadyExistsError(f"{self.uri}: {key} exists already, with other content")
        return existing.etag

    def replace(self, key: str, body: bytes, etag: str) -> str:
        path = self._path(key)
        with (
            disk.explained(self._root, "replacing", key),
            disk.temporary(path.parent, lambda file: file.write(body)) as new,
            self._locked(key),
        ):
            try:
                current = disk.etag(path.stat())
            except FileNotFoundError:
                raise ChangedError(f"{self.uri}: {key} was deleted by somebody else") from None
            if current != etag:
                raise ChangedError(f"{self.uri}: {key} was changed by somebody else")
            return self._rename(new, path)

    def put(self, key: str, body: bytes) -> None:
        path = self._path(key)
        with (
            disk.explained(self._root, "writing", key),
            disk.temporary(path.parent, lambda file: file.write(body)) as new,
            self._locked(key),
        ):
            self._rename(new, path)

    def get(self, key: str) -> Object:
        with disk.explained(self._root, "reading", key), self._path(key).open("rb") as file:
            return Object(body=file.read(), etag=disk.etag(os.fstat(file.fileno())))

    def list(self, prefix: str) -> Iterator[Entry]:
        above, _, start = prefix.rpartition("/")
        with disk.explained(self._root, "listing", prefix):
            yield from self._walk(self._root / above, f"{above}/" if above else "", start)

    def list_folders(self, prefix: str) -> builtins.list[str]:
        with disk.explained(self._root, "listing", prefix):
            above = self._root / prefix
            folders = [entry.name for entry in self._scan(above, prefix) if entry.is_dir()]
            return sorted(name for name in folders if any(self._walk(above / name, f"{prefix}{name}/", "")))

    def delete(self, key: str) -> None:
        path = self._path(key)
        with disk.explained(self._root, "deleting", key), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if not path.exists():
                return
            with self._locked(key):
                path.unlink()
            disk.sync_folder(path.parent)
            self._remove_empty(path.parent)

    def upload(self, key: str, source: Path, on_bytes: OnBytes | None = None) -> str:
        path = self._path(key)
        hashed = hashlib.sha256()
        with (
            source.open("rb") as file,
            disk.explained(self._root, f"copying {source} to", key),
            disk.temporary(path.parent, lambda new: copy_hashed(file, new, hashed, on_bytes)) as new,
        ):
            if not self._link(new, path) and not same_content(new, path):
                raise AlreadyExistsError(f"{self.uri}: {key} exists already, with other content than {source}")
        return hashed.hexdigest()

    def download(self, key: str, target: Path, on_bytes: OnBytes | None = None) -> str:
        hashed = hashlib.sha256()
        with disk.explained(self._root, "reading", key):
            source = self._path(key).open("rb")
        with source, disk.explained_local(target), target.open("x+b") as new:
            copy_hashed(source, new, hashed, on_bytes)
        return hashed.hexdigest()

    def digest(self, key: str, on_bytes: OnBytes | None = None) -> str:
        hashed = hashlib.sha256()
        with disk.explained(self._root, "reading", key), self._path(key).open("rb") as source:
            while chunk := source.read(CHUNK):
                hashed.update(chunk)
                if on_bytes is not None:
                    on_bytes(len(chunk))
        return hashed.hexdigest()

    def local_path(self, key: str) -> Path | None:
        return self._path(key)

    def remove_leftovers(self, older_than_s: float) -> int:
        cutoff = time.time() - older_than_s
        removed = 0
        with disk.explained(self._root, "cleaning", "the store"):
            for folder, inner, files in os.walk(self._root):
                if Path(folder) == self._root:
                    inner[:] = [name for name in inner if not keys.is_hidden(name)]
                for path in (Path(folder, name) for name in files if name.startswith(keys.TEMPORARY)):
                    with contextlib.suppress(FileNotFoundError):
                        if path.stat().st_mtime < cutoff:
                            path.unlink()
                            removed += 1
        return removed

    def _path(self, key: str) -> Path:
        return self._root / keys.check(key)

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Exclude other changes of `key`; keys share 256 lock files."""
        name = hashlib.sha256(key.encode()).hexdigest()[:2]
        with disk.lock(self._root / keys.LOCKS / name):
            yield

    def _link(self, new: Path, path: Path) -> bool:
        """Give the temporary file `new` its name; False if the name is taken."""
        try:
            os.link(new, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            way_out = "keep the store on another file system, or use S3"
            raise StoreConfigError(f"{self.uri}: the file system has no hard links ({error}); {way_out}") from error
        disk.sync_folder(path.parent)
        return True

    def _rename(self, new: Path, path: Path) -> str:
        etag = disk.etag(new.stat())
        new.replace(path)
        disk.sync_folder(path.parent)
        return etag

    def _remove_empty(self, folder: Path) -> None:
        """Remove `folder` and the folders above it as far as they are empty. A writer that loses its folder makes it
        again."""
        with contextlib.suppress(OSError):
            while folder != self._root:
                folder.rmdir()
                folder = folder.parent

    def _scan(self, folder: Path, prefix: str) -> builtins.list[os.DirEntry[str]]:
        """What is in `folder`, without what is no part of the store; nothing if the folder does not exist."""
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except (FileNotFoundError, NotADirectoryError):
            return []
        hidden = keys.is_hidden if prefix == "" else lambda _name: False
        kept = [entry for entry in entries if not entry.name.startswith(keys.TEMPORARY) and not hidden(entry.name)]
        # S3 orders whole keys, so a folder sorts with its slash
        return sorted(kept, key=lambda entry: (entry.name + "/" if entry.is_dir() else entry.name).encode())

    def _walk(self, folder: Path, prefix: str, start: str) -> Iterator[Entry]:
        """Objects under `folder`, whose keys start with `prefix`; in `folder` itself only names that start so."""
        for entry in self._scan(folder, prefix):
            if not entry.name.startswith(start):
                continue
            if entry.is_dir():
                yield from self._walk(folder / entry.name, f"{prefix}{entry.name}/", "")
                continue
            try:
                stat = entry.stat()
            except FileNotFoundError:
                continue  # deleted since the folder was read
            yield Entry(f"{prefix}{entry.name}", stat.st_size, disk.etag(stat), stat.st_mtime)
