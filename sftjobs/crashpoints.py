"""Places where a test ends a process with KILL: right after each side effect.

`SFTJOBS_CRASH_AT=after-claim` ends the process that comes to `crash_point("after-claim")`. Tests go through the
tuples below, so a side effect without a name here is one that no test interrupts.
"""

import os
import signal

from sftjobs import names

AGENT = (
    "after-lease",
    "after-key",
    "after-claim",
    "after-inputs",
    "after-ranks-start",
    "after-checkpoint-files",
    "after-checkpoint-part",
    "after-checkpoint-commit",
    "after-ranks-end",
    "after-content",
    "after-info",
    "after-manifest",
    "after-commit",
    "after-release",
    "after-termination",
)
"""Side effects of one agent, in the order in which an undisturbed attempt comes to them."""

CONTROLLER = (
    "controller.lease",
    "controller.session",
    "controller.intent",
    "backend.recorded",
    "backend.started",
    "controller.create",
    "controller.event",
    "backend.ended",
    "controller.result",
    "backend.deletion-recorded",
    "controller.delete",
    "controller.report",
    "controller.verdict",
)
"""Side effects of the controller and of the process backend, in the order in which an undisturbed run comes to them."""


def crash_point(name: str) -> None:
    """End this process as a power cut would, if the test asked for it here."""
    if os.environ.get(names.ENV_CRASH_AT) == name:
        os.kill(os.getpid(), signal.SIGKILL)
