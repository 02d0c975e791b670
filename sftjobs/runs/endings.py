"""Last words of agents in the store: a pod that was deleted takes its termination message with it."""

import time
from contextlib import suppress

from pydantic import ValidationError

from sftjobs import names
from sftjobs.attempts import Termination
from sftjobs.canonical import readable
from sftjobs.errors import StoreError
from sftjobs.store.base import Store


def write_ending(store: Store, run_id: str, stage: str, attempt: int, node: int, termination: Termination) -> None:
    """Leave a last word. It only explains an end, so a store that is away is no reason to wait."""
    with suppress(StoreError):
        key = names.ending(run_id, stage, attempt, node, time.time_ns())
        store.create(key, readable(termination.model_dump(mode="json")))


def read_endings(store: Store, run_id: str, stage: str, attempt: int) -> list[tuple[float, Termination]]:
    """(Unix time, last word) of each node, the newest of each. Raises StoreError."""
    prefix = names.endings_prefix(run_id, stage, attempt)
    newest: dict[str, tuple[float, str]] = {}
    for entry in store.list(prefix):
        node, _, moment = entry.key.removeprefix(prefix).removesuffix(".json").partition("-")
        newest[node] = (int(moment) / 1e9, entry.key)  # a listing is in order of names, and so of time
    found = []
    for moment_s, key in newest.values():
        with suppress(ValidationError):
            found.append((moment_s, Termination.model_validate_json(store.get(key).body)))
    return found
