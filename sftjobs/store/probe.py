"""Try out a store before a run depends on it."""

import contextlib
import secrets

from sftjobs import names
from sftjobs.errors import AlreadyExistsError, ChangedError, StoreConfigError, StoreError
from sftjobs.store.base import Store


def probe(store: Store) -> None:
    """Write, list, replace and delete an object of its own; nothing of it stays.

    Raises StoreConfigError if the store does not keep its word (docs/store.md, "What a store must do") or refuses
    writing; StoreError if it cannot be reached.
    """
    key = f"{names.PROBE}{secrets.token_hex(8)}/object"
    etag = store.create(key, b"first")
    try:
        _create_only(store, key, etag)
        _conditional_replace(store, key, etag)
        _listed(store, key)
    except StoreError:
        with contextlib.suppress(StoreError):  # what went wrong first is what a person needs to know
            store.delete(key)
        raise
    store.delete(key)
    if any(True for _ in store.list(key)):
        raise StoreConfigError(f"{store.uri}: a deleted object is still listed; {_UNFIT}")


_UNFIT = "runs would overwrite each other's results here; use another store (docs/store.md says what it must do)"


def _create_only(store: Store, key: str, etag: str) -> None:
    """A second write with another body must fail and change nothing."""
    try:
        store.create(key, b"second")
    except AlreadyExistsError:
        found = store.get(key)
        if found.body != b"first" or found.etag != etag:
            raise StoreConfigError(f"{store.uri}: a refused write changed the object; {_UNFIT}") from None
        return
    raise StoreConfigError(f"{store.uri}: no conditional writes: an object was created twice; {_UNFIT}")


def _conditional_replace(store: Store, key: str, etag: str) -> None:
    """A replacement with the right etag works, one with an outdated etag must fail."""
    try:
        store.replace(key, b"third", etag)
    except ChangedError:
        raise StoreConfigError(f"{store.uri}: a write with the right ETag is refused; {_UNFIT}") from None
    try:
        store.replace(key, b"fourth", etag)
    except ChangedError:
        if store.get(key).body != b"third":
            raise StoreConfigError(f"{store.uri}: a refused replacement changed the object; {_UNFIT}") from None
        return
    raise StoreConfigError(f"{store.uri}: no conditional replacement: an outdated ETag was accepted; {_UNFIT}")


def _listed(store: Store, key: str) -> None:
    """What has just been written is in a listing at once, with its size."""
    sizes = {entry.key: entry.size for entry in store.list(f"{key.rpartition('/')[0]}/")}
    if sizes != {key: len(b"third")}:
        raise StoreConfigError(f"{store.uri}: an object that was just written is not listed ({sizes}); {_UNFIT}")
