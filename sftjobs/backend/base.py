"""What the controller needs of the thing that runs Jobs: processes on this machine, or Kubernetes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sftjobs.attempts import Termination

Job = dict[str, Any]
"""A Kubernetes Job as a plain dict (`sftjobs.objects.build_job`)."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What the backend knows about one Job."""

    name: str
    stage: str
    attempt: int
    phase: Literal["pending", "running", "ended"]
    termination: Termination | None = None
    """Set once ended: the agent's message, or the backend's own classification if there is none."""
    started: float | None = None
    finished: float | None = None
    detail: str = ""
    """Why it is pending, in words."""
    hopeless: Termination | None = None
    """Set while it is pending and will never start, or runs and will never end: what its attempt ends with."""
    unheard: bool = False
    """True if it ended, or will never end, and nobody saw the last word of its agents: the store may have it."""
    past_deadline_s: float | None = None
    """Set if it was stopped after so many seconds, the limit of one attempt; its agents only know that they were."""
    times: Mapping[str, float] = field(default_factory=dict)
    """Unix times of its life so far: created, admitted, scheduled, started, finished, as far as the backend knows."""


class BackendError(Exception):
    """The backend could not be asked: the controller takes no action in this tick."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        """The backend asked to be left alone for so long."""
        super().__init__(message)


class ReleaseGoneError(Exception):
    """What gives this controller the right to make Jobs is gone: it must leave without acting."""


class RefusedJobError(Exception):
    """The backend will never take this Job: asking again would be answered the same."""


class Backend(Protocol):
    """Both implementations pass tests/support/conformance.py. Every method may raise BackendError."""

    def create(self, job: Job) -> None:
        """Start a Job. Succeeds if this very Job (same name, same run id and stage key) exists already.

        May raise RefusedJobError or ReleaseGoneError.
        """

    def list(self, run_id: str) -> list[JobStatus]:
        """Every Job of the run that has been created and not deleted."""

    def delete(self, run_id: str, name: str, grace_s: float | None = None) -> None:
        """Ask the Job to stop; by force after the grace (default: the Job's own). Does not wait.

        Succeeds if it is gone or has ended. Asked again, the earlier of both ends by force holds.
        """
