"""Events of a run: small notes for people, in order of time. Nothing is decided from them."""

import json
import secrets
import time
from typing import Any

from sftjobs import names
from sftjobs.canonical import readable
from sftjobs.model import Document
from sftjobs.store.base import Store

KINDS: dict[str, tuple[str, ...]] = {
    "attempt-started": ("stage", "attempt", "job"),
    names.EVENT_WAITING: ("stage", "attempt", "reason"),
    "attempt-ended": ("stage", "attempt", "failure", "message"),
    "checkpoint-skipped": ("stage", "attempt", "step", "reason"),
    "job-deleted": ("stage", "job", "reason"),
    "verdict": ("outcome", "stage", "message"),
    "webhook-failed": ("message",),
}
"""Kind -> its fields; docs/store.md says what they mean."""


class Event(Document):
    """One note."""

    t: float
    """Unix time by the writer's clock."""
    kind: str
    """One of KINDS; a newer version may know more."""
    fields: dict[str, Any]


def add_event(store: Store, run_id: str, kind: str, **fields: Any) -> None:
    """Write one event with the fields of its kind; its name sorts by time and is unique."""
    assert set(fields) == set(KINDS[kind]), f"an event {kind} has {KINDS[kind]}, not {sorted(fields)}"
    now = time.time_ns()  # finer than any two events of one process
    key = f"{names.events_prefix(run_id)}{now:020d}-{kind}-{secrets.token_hex(4)}.json"
    store.create(key, readable({"t": now / 1e9, "kind": kind, "fields": fields}))


def read_events(store: Store, run_id: str, after: str = "") -> list[tuple[str, Event]]:
    """(name, event) in order of time; `after` is the name of the last one that was read before."""
    keys = [entry.key for entry in store.list(names.events_prefix(run_id)) if entry.key > after]
    return [(key, Event.model_validate(json.loads(store.get(key).body))) for key in keys]


def last_event(store: Store, run_id: str, kind: str, **wanted: Any) -> Event | None:
    """The newest event of a kind with these fields, or None. Reads no more events than it must."""
    prefix = names.events_prefix(run_id)
    mark = f"-{kind}-"
    for entry in reversed([entry for entry in store.list(prefix) if mark in entry.key]):
        event = Event.model_validate(json.loads(store.get(entry.key).body))
        if wanted.items() <= event.fields.items():
            return event
    return None
