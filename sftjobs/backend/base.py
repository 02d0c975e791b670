"""What the controller needs of the thing that runs Jobs: processes on this machine, or Kubernetes."""

from dataclasses import dataclass
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


class BackendError(Exception):
    """The backend could not be asked: the controller takes no action in this tick."""


class Backend(Protocol):
    """Both implementations pass the conformance suite in tests/chain. Every method may raise BackendError."""

    def create(self, job: Job) -> None:
        """Start a Job. Succeeds if this very Job (same name, same run id and stage key) exists already."""

    def list(self, run_id: str) -> list[JobStatus]:
        """Every Job of the run that has been created and not deleted."""

    def delete(self, run_id: str, name: str, grace_s: float | None = None) -> None:
        """Ask the Job to stop; by force after the grace (default: the Job's own). Does not wait.

        Succeeds if it is gone or has ended. Asked again, the earlier of both ends by force holds.
        """
