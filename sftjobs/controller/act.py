"""Carry out one action. After each side effect a test may end this process; see `sftjobs.crashpoints.CONTROLLER`."""

import time
from collections.abc import Callable
from contextlib import suppress

from sftjobs.attempts import Intent, Result, Termination
from sftjobs.backend.base import Backend, RefusedJobError
from sftjobs.controller.actions import Action, CreateJob, DeleteJob, Finish, RecordResult, WriteIntent
from sftjobs.crashpoints import crash_point
from sftjobs.errors import AlreadyExistsError
from sftjobs.names import Exit
from sftjobs.objects import JobSettings, build_job
from sftjobs.runs import Session, Verdict, add_event, write_intent, write_result, write_verdict
from sftjobs.store.base import Store

Settings = Callable[[], JobSettings]
"""Asked before each Job: what a platform team changes in its cluster takes effect for later attempts."""
OnSuccess = Callable[[], None]
"""Builds the report, before the verdict is written; it may be called twice."""


class Actor:
    """Side effects of one controller. All may raise StoreError or BackendError; the next tick then decides anew."""

    def __init__(
        self,
        store: Store,
        run_id: str,
        session: Session,
        backend: Backend,
        settings: Settings,
        on_success: OnSuccess,
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._session = session
        self._backend = backend
        self._settings = settings
        self._on_success = on_success

    def do(self, action: Action) -> Verdict | None:
        """Returns the verdict once there is one."""
        match action:
            case WriteIntent(intent):
                write_intent(self._store, intent)
                crash_point("controller.intent")
            case CreateJob(intent):
                self._create(intent)
            case RecordResult():
                self._record(action)
            case DeleteJob(stage, job, reason, force):
                self._backend.delete(self._run_id, job, grace_s=0.0 if force else None)
                crash_point("controller.delete")
                self._note("job-deleted", stage=stage, job=job, reason=reason)
            case Finish(verdict):
                return self._finish(verdict)
        return None

    def _create(self, intent: Intent) -> None:
        try:
            self._backend.create(build_job(intent, self._settings()))
        except RefusedJobError as refusal:
            self._record(RecordResult(intent.plan.stage, _refused(intent.attempt, str(refusal))))
            return
        crash_point("controller.create")
        self._note("attempt-started", stage=intent.plan.stage, attempt=intent.attempt, job=intent.job)

    def _record(self, action: RecordResult) -> None:
        with suppress(AlreadyExistsError):  # a lost answer: the first record stands
            write_result(self._store, self._run_id, action.stage, action.result)
        crash_point("controller.result")
        said = action.result.termination
        self._note(
            "attempt-ended",
            stage=action.stage,
            attempt=action.result.attempt,
            failure=said.failure,
            message=said.message,
        )

    def _finish(self, verdict: Verdict) -> Verdict:
        if verdict.outcome == "succeeded":
            self._on_success()
            crash_point("controller.report")
        standing = write_verdict(self._store, self._run_id, self._session.number, verdict)
        crash_point("controller.verdict")
        self._note("verdict", outcome=standing.outcome, stage=standing.stage, message=standing.message)
        return standing

    def _note(self, kind: str, **fields: object) -> None:
        add_event(self._store, self._run_id, kind, **fields)
        crash_point("controller.event")


def _refused(attempt: int, message: str) -> Result:
    said = Termination(failure="config", code=Exit.BAD_CONFIG, message=message)
    return Result(attempt=attempt, termination=said, started=None, finished=time.time())
