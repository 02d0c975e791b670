"""Files of a committed artifact, one at a time."""

from pathlib import Path

from sftjobs import names
from sftjobs.artifact.transfer import fetch_tree
from sftjobs.plan.committed import Done
from sftjobs.store.base import Store


def content_prefix(done: Done) -> str:
    """Where the files of an artifact are in the store."""
    return f"{names.incarnation_prefix(done.ref.kind, done.ref.key, done.ref.incarnation)}{names.CONTENT}/"


def fetch(done: Done, store: Store, name: str, folder: Path) -> Path | None:
    """One file of the content, verified, in `folder`; None if the artifact has none of that name.

    Raises DamagedError if it is not what was committed.
    """
    entries = [entry for entry in done.manifest.content if entry.path == name]
    if not entries:
        return None
    path = folder / name
    if not path.exists():
        fetch_tree(store, content_prefix(done), entries, folder)
    return path
