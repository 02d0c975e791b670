"""Notes in the store about why an attempt has not started: `sftjobs status` reads them without the cluster."""

import time

from sftjobs import names
from sftjobs.controller.observed import Observed
from sftjobs.runs import add_event
from sftjobs.store.base import Store

EVERY_S = 30.0
"""A reason that changes all the time is noted at most so often."""


class WaitingNotes:
    """One note per attempt and reason."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._said: dict[tuple[str, int], str] = {}
        self._said_at: dict[tuple[str, int], float] = {}

    def note(self, seen: Observed) -> None:
        """Raises StoreError."""
        for (stage, attempt), job in seen.jobs.items():
            place = (stage, attempt)
            now = time.monotonic()
            if job.phase != "pending" or not job.detail or self._said.get(place) == job.detail:
                continue
            if now - self._said_at.get(place, float("-inf")) < EVERY_S:
                continue
            add_event(self._store, self._run_id, names.EVENT_WAITING, stage=stage, attempt=attempt, reason=job.detail)
            self._said[place], self._said_at[place] = job.detail, now
