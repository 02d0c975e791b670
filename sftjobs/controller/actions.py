"""The five things a controller does. Each has one side effect; each may be done twice without harm."""

from dataclasses import dataclass

from sftjobs.attempts import Intent, Result
from sftjobs.runs import Verdict


@dataclass(frozen=True)
class WriteIntent:
    """Record that an attempt is going to exist."""

    intent: Intent


@dataclass(frozen=True)
class CreateJob:
    """Make the Job of a recorded intent."""

    intent: Intent


@dataclass(frozen=True)
class RecordResult:
    """Record how an attempt ended."""

    stage: str
    result: Result


@dataclass(frozen=True)
class DeleteJob:
    """Ask a Job to stop."""

    stage: str
    job: str
    reason: str
    force: bool = False
    """True: no grace."""


@dataclass(frozen=True)
class Finish:
    """End the session."""

    verdict: Verdict


Action = WriteIntent | CreateJob | RecordResult | DeleteJob | Finish
