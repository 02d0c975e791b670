"""What the controller knows in one tick, as values: `observe` makes them, `decide` only reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sftjobs.attempts import FailureClass
from sftjobs.backend.base import JobStatus
from sftjobs.plan.types import StagePlan
from sftjobs.runs import Attempt, Session

Halt = Literal["cancelled", "stopped", "budget"]
"""budget: the run has used its GPU hours."""


@dataclass(frozen=True)
class Refusal:
    """Why a stage cannot be run at all."""

    failure: FailureClass
    message: str


@dataclass(frozen=True)
class StageView:
    """One stage, from the store."""

    plan: StagePlan | None = None
    """None until its inputs are committed."""
    refusal: Refusal | None = None
    committed: bool = False
    committed_for_s: float = 0.0
    """Seconds for which this controller has known that it is committed."""
    attempts: tuple[Attempt, ...] = ()
    busy: str | None = None
    """Who holds the LEASE of its key; None if nobody does."""

    @property
    def open(self) -> Attempt | None:
        """The attempt that has no result yet. Only the last one can be open."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].result is None else None


@dataclass(frozen=True)
class Observed:
    """Everything that decisions are made from."""

    run_id: str
    now: float
    """Unix time by the controller's clock."""
    session: Session
    stages: Mapping[str, StageView]
    jobs: Mapping[tuple[str, int], JobStatus]
    """(stage, attempt) -> what the backend says, from one successful listing that is older than `stages`."""
    halt: Halt | None = None
    """Set when the run was cancelled, has used up its budget, or this controller was asked to stop its jobs."""
    halt_reason: str = ""
    """In words, where there is more to say than the name of the halt."""
    force: bool = False
    """True if jobs get no more time to save."""
    begun: Mapping[tuple[str, int], float] = field(default_factory=dict)
    """(stage, attempt) -> Unix time at which its pods started, also where the Job is gone by now. After a preemption
    it is earlier, by as long as the pods before it worked: until now it is always the time at work."""
    times: Mapping[tuple[str, int], Mapping[str, float]] = field(default_factory=dict)
    """(stage, attempt) -> all times of its Job that were seen, also of pods that are gone by now."""
    asked: Mapping[str, bool] = field(default_factory=dict)
    """Jobs that this controller has asked to stop -> whether by force."""
