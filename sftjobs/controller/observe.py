"""Look at the backend and the store. Jobs come first: one that has ended has written all it will ever write."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from sftjobs.attempts import Termination
from sftjobs.backend.base import Backend, JobStatus
from sftjobs.backend.endings import first_failure, past_deadline
from sftjobs.controller.budget import over_budget
from sftjobs.controller.observed import Halt, Observed
from sftjobs.controller.stage_reader import StageReader
from sftjobs.runs import Session, is_cancelled, read_endings
from sftjobs.store.base import Store


class Observer:
    """One controller's view of its run."""

    def __init__(
        self,
        store: Store,
        run_id: str,
        backend: Backend,
        stages: StageReader,
        gpu_hours: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._backend = backend
        self.stages = stages
        self._gpu_hours = gpu_hours
        self._words: dict[str, Termination | None] = {}
        """Last words of Jobs whose pods are gone; an ended Job says nothing new."""
        self._begun: dict[tuple[str, int], float] = {}
        self._times: dict[tuple[str, int], Mapping[str, float]] = {}
        self._at_work: dict[tuple[str, int], tuple[float, float]] = {}
        """When the pods of a Job started, and when they were last seen."""
        self._over = ""
        """What was said when the budget was used up: the Jobs that are stopped for it take their hours with them."""
        self.asked: dict[str, bool] = {}
        """Jobs that were asked to stop -> whether by force; the loop fills it."""

    def observe(self, session: Session, now: float, halt: Halt | None, force: bool) -> Observed:
        """Raises StoreError or BackendError: then nothing is known, and nothing may be done."""
        jobs = self._jobs()
        views = self.stages.read()
        if halt is None and is_cancelled(self._store, self._run_id, session.number):
            halt = "cancelled"
        self._note_begun(jobs, now)
        if halt is None:
            self._over = self._over or over_budget(views, self._begun, self._gpu_hours(), now)
        reason = self._over if halt is None else ""
        return Observed(
            run_id=self._run_id,
            now=now,
            session=session,
            stages=views,
            jobs=jobs,
            halt="budget" if reason else halt,
            halt_reason=reason,
            force=force,
            begun=dict(self._begun),
            times=dict(self._times),
            asked=dict(self.asked),
        )

    def _note_begun(self, jobs: Mapping[tuple[str, int], JobStatus], now: float) -> None:
        for place, job in jobs.items():
            self._times[place] = {**self._times.get(place, {}), **job.times}  # pods take theirs with them
            if job.started is None:
                continue
            started, seen = self._at_work.get(place, (job.started, now))
            begun = self._begun.get(place, job.started)
            if job.started > started:  # preempted, and resumed with other pods
                begun = job.started - (seen - begun)
            self._begun[place] = begun
            self._at_work[place] = (job.started, now)

    def _jobs(self) -> dict[tuple[str, int], JobStatus]:
        return {(job.stage, job.attempt): self._heard(job) for job in self._backend.list(self._run_id)}

    def _heard(self, job: JobStatus) -> JobStatus:
        """The Job with the last word that its agents left in the store, where their pods took theirs away."""
        if not job.unheard:
            return job
        if job.name not in self._words:
            words = read_endings(self._store, self._run_id, job.stage, job.attempt)
            self._words[job.name] = _last_word(job, words) if words else job.termination or job.hopeless
        word = self._words[job.name]
        return replace(job, termination=word) if job.phase == "ended" else replace(job, hopeless=word)


def _last_word(job: JobStatus, words: list[tuple[float, Termination]]) -> Termination:
    word = first_failure(words)
    return word if job.past_deadline_s is None else past_deadline(job.past_deadline_s, word)
