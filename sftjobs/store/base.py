"""What the project needs of a store; `folder.py` and `s3.py` give it.

Keys are relative paths with `/`. Nothing is ever renamed; only LEASE, CANCEL, heartbeats and reports are replaced.
"""

import builtins
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

OnBytes = Callable[[int], None]
"""Called with the number of bytes moved since the last call, from any thread."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a listing."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """Changes whenever the content is replaced; not a hash."""
    modified: float
    """Unix time by the store's clock."""


@dataclass(frozen=True, slots=True)
class Object:
    """A small object, read whole."""

    body: bytes
    etag: str


class Store(Protocol):
    """Errors are those of `sftjobs.errors`: StoreError if the store cannot be reached (after bounded retries)."""

    @property
    def uri(self) -> str:
        """How a person names the store."""

    def create(self, key: str, body: bytes) -> str:
        """Write a new object, atomically; returns its etag.

        If it exists already with this very body, the call succeeds: that is how a lost response is told from a lost
        race, so bodies that fence carry a nonce. Raises AlreadyExistsError if the content is another's.
        """

    def replace(self, key: str, body: bytes, etag: str) -> str:
        """Overwrite the object if it still has `etag`; returns the new etag. Raises ChangedError."""

    def put(self, key: str, body: bytes) -> None:
        """Write or overwrite, atomically: for heartbeats and reports, where the newest wins."""

    def get(self, key: str) -> Object:
        """Read a small object. Raises NotFoundError."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every object whose key starts with `prefix`, in key order, never from a cache."""

    def list_folders(self, prefix: str) -> builtins.list[str]:
        """Names directly below `prefix` (which ends in `/`) that have something below them, sorted."""

    def delete(self, key: str) -> None:
        """Delete; succeeds if the object does not exist."""

    def upload(self, key: str, source: Path, on_bytes: OnBytes | None = None) -> str:
        """Copy a local file to a new object; returns the hex SHA-256 of what was sent.

        If the object exists already with this very content, the call succeeds. Raises AlreadyExistsError otherwise.
        """

    def download(self, key: str, target: Path, on_bytes: OnBytes | None = None) -> str:
        """Copy an object to a new local file; returns the hex SHA-256 of what arrived. Raises NotFoundError."""

    def digest(self, key: str, on_bytes: OnBytes | None = None) -> str:
        """Hex SHA-256 of an object of any size; it is read once and kept nowhere. Raises NotFoundError."""

    def local_path(self, key: str) -> Path | None:
        """Path of the object if it can be read in place (folder store), else None."""

    def remove_leftovers(self, older_than_s: float) -> int:
        """Remove what interrupted writes left behind and no listing shows, if older; returns how many things."""
