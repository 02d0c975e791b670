"""Notes in the store about why an attempt has not started: `sftjobs status` reads them without the cluster."""

import time
from contextlib import suppress
from dataclasses import dataclass

from sftjobs import names
from sftjobs.backend.base import Backend, BackendError, Job, JobStatus
from sftjobs.controller.observed import Observed
from sftjobs.errors import StoreError
from sftjobs.kube.objects import label
from sftjobs.runs import add_event
from sftjobs.store.base import Store

SETTLED_S = 3.0
"""A reason that is gone sooner explains nothing that anybody has noticed."""
EVERY_S = 30.0
"""A reason that changes all the time is noted at most so often."""


class WaitingNotes:
    """One note per attempt and reason."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._seen: dict[tuple[str, int], tuple[str, float]] = {}
        """Reason of each attempt and since when it holds (monotonic)."""
        self._said: dict[tuple[str, int], tuple[str, float]] = {}
        """Last note of each attempt and when it was written."""

    def note(self, seen: Observed) -> None:
        """Raises StoreError."""
        for (stage, attempt), job in seen.jobs.items():
            self.add(stage, attempt, job.detail if job.phase == "pending" else "")

    def add(self, stage: str, attempt: int, reason: str) -> None:
        """Why the attempt waits at this moment; empty if it does not. Raises StoreError."""
        place, now = (stage, attempt), time.monotonic()
        if self._seen.get(place, ("", 0.0))[0] != reason:
            self._seen[place] = (reason, now)
        if not reason:
            self._said.pop(place, None)  # it started; if it has to wait again, that is news
        said, at = self._said.get(place, ("", float("-inf")))
        if not reason or reason == said or now - self._seen[place][1] < SETTLED_S or now - at < EVERY_S:
            return
        add_event(self._store, self._run_id, names.EVENT_WAITING, stage=stage, attempt=attempt, reason=reason)
        self._said[place] = (reason, now)


@dataclass(frozen=True)
class NotedBackend:
    """A backend that says in the store why it does not take a Job yet: there is none that anybody could look at."""

    backend: Backend
    notes: WaitingNotes

    def create(self, job: Job) -> None:
        try:
            self.backend.create(job)
        except BackendError as error:
            with suppress(StoreError):  # whoever asked is to hear about the backend
                reason = f"the cluster does not take its job yet: {error}"
                self.notes.add(label(job, names.LABEL_STAGE), int(label(job, names.LABEL_ATTEMPT)), reason)
            raise

    def list(self, run_id: str) -> list[JobStatus]:
        return self.backend.list(run_id)

    def delete(self, run_id: str, name: str, grace_s: float | None = None) -> None:
        self.backend.delete(run_id, name, grace_s)
