"""What is recorded about the attempts of a stage: intent, heartbeat, termination message, result."""

from typing import Any, Literal

from sftjobs.model import Document
from sftjobs.names import Exit
from sftjobs.plan.types import StagePlan

FailureClass = Literal[
    "committed",  # 0: COMMIT exists
    "config",  # 10: bad config or data; never tried again
    "checkpoint",  # 11: incompatible checkpoint; never tried again
    "stopped",  # 20: asked to stop, saved; tried again without charge
    "infrastructure",  # 21: network, store, lost process
    "hang",  # 22: no progress
    "busy",  # 23: LEASE held elsewhere; no charge
    "out_of_memory",  # killed by the kernel for memory
    "image",  # its image cannot be pulled; never tried again
    "budget",  # the GPU-hour ceiling of the run is reached; never tried again
    "user",  # any other failure of the program
    "cancelled",  # deleted because the user said so
]

EXIT_CLASS: dict[int, FailureClass] = {
    Exit.COMMITTED: "committed",
    Exit.BAD_CONFIG: "config",
    Exit.BAD_CHECKPOINT: "checkpoint",
    Exit.STOPPED: "stopped",
    Exit.INFRASTRUCTURE: "infrastructure",
    Exit.HANG: "hang",
    Exit.BUSY: "busy",
}
"""Exit codes that mean the same from every agent; other non-zero codes are `user`."""


class Intent(Document):
    """Written create-only before the Job is made: attempt n of a stage is going to exist."""

    schema_number: int = 1
    run_id: str
    attempt: int
    """From 0."""
    job: str
    """Deterministic Job name."""
    plan: StagePlan
    created: float
    """Unix time by the controller's clock."""


class Termination(Document):
    """The termination message: one JSON line of at most 2 KiB, the agent's last word."""

    failure: FailureClass
    code: int
    """Exit code of the agent."""
    rank: int | None = None
    """First failing rank."""
    step: int | None = None
    """Last step that the program reported."""
    checkpoint: int | None = None
    """Step of the newest committed checkpoint."""
    message: str = ""


class Result(Document):
    """Written create-only by the controller when an attempt has ended."""

    schema_number: int = 1
    attempt: int
    termination: Termination
    started: float | None
    finished: float
    """Unix time."""
    facts: dict[str, Any] = {}


class Heartbeat(Document):
    """The agent's view of a running attempt; replaced every few seconds."""

    t: float
    """Unix time by the agent's clock."""
    state: Literal["fetching", "running", "saving", "uploading", "done"]
    incarnation: int | None = None
    phase: str = ""
    step: int | None = None
    total: int | None = None
    unit: str = ""
    loss: float | None = None
    tokens_per_s: float | None = None
    eta_s: float | None = None
    program_s: float | None = None
    """Seconds from the agent's start to that of the program; by one clock, so that they can be subtracted."""
    saved_s: float | None = None
    """Seconds from the agent's start to the newest committed checkpoint of this attempt."""
    message: str = ""
