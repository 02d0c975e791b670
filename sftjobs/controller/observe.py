"""Look at the backend and the store. Jobs come first: one that has ended has written all it will ever write."""

from sftjobs.backend.base import Backend, JobStatus
from sftjobs.controller.observed import Halt, Observed
from sftjobs.controller.stage_reader import StageReader
from sftjobs.runs import Session, is_cancelled
from sftjobs.store.base import Store


class Observer:
    """One controller's view of its run."""

    def __init__(self, store: Store, run_id: str, backend: Backend, stages: StageReader) -> None:
        self._store = store
        self._run_id = run_id
        self._backend = backend
        self.stages = stages
        self.asked: dict[str, bool] = {}
        """Jobs that were asked to stop -> whether by force; the loop fills it."""

    def observe(self, session: Session, now: float, halt: Halt | None, force: bool) -> Observed:
        """Raises StoreError or BackendError: then nothing is known, and nothing may be done."""
        jobs = self._jobs()
        views = self.stages.read()
        if halt is None and is_cancelled(self._store, self._run_id, session.number):
            halt = "cancelled"
        return Observed(self._run_id, now, session, views, jobs, halt, force, dict(self.asked))

    def _jobs(self) -> dict[tuple[str, int], JobStatus]:
        return {(job.stage, job.attempt): job for job in self._backend.list(self._run_id)}
