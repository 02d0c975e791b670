"""Where a rank is: a program writes it, the agent compares the ranks when there is no progress.

All ranks of a program do the same in the same order, so each counts its marks: the rank with the lowest count is the
one that the others wait for. A mark is one small write to a file that stays open; a training of short steps does not
notice it.
"""

import json
import os
import time
from enum import StrEnum
from pathlib import Path

from sftjobs.model import Document

WIDTH = 160
"""Bytes of a mark: each overwrites the one before."""


class Phase(StrEnum):
    """What a rank does until its next mark."""

    LOAD = "load"
    """The first mark: libraries are loaded. Reads data, opens the model, meets the others."""
    DATA = "data"
    """Waits for the next batch: the only phase in which it needs nobody else."""
    PASSES = "passes"
    """Forward and backward; gradients, and with ZeRO-3 weights, are exchanged in here."""
    AGREE = "agree"
    """In a collective: nothing but waiting for the others."""
    UPDATE = "update"
    """Clips and updates the weights; with ZeRO a collective."""
    LOOK = "look"
    """Looks at the dev set."""
    SAVE = "save"
    """Writes its part of a checkpoint."""
    EXPORT = "export"


class Mark(Document):
    """Content of the file of a rank."""

    phase: Phase
    step: int
    """The step that is in progress, from 1; 0 before the first."""
    count: int
    """Marks of this rank so far."""
    since: float
    """`time.monotonic()`, which all processes of a machine share."""
    began: float
    """The same of the first mark: libraries are loaded."""


class Marker:
    """The writing side."""

    def __init__(self, path: Path) -> None:
        # Open as long as the process lives: a descriptor of the system, not a file that Python would close.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        self._count = 0
        self._began = 0.0

    def __call__(self, phase: Phase, step: int) -> None:
        now = time.monotonic()
        self._count += 1
        self._began = self._began or now
        mark = {"phase": phase, "step": step, "count": self._count, "since": now, "began": self._began}
        os.pwrite(self._file, json.dumps(mark).encode().ljust(WIDTH), 0)


def read_mark(path: Path) -> Mark | None:
    """The newest mark; None if there is none, or it is being written."""
    try:
        return Mark.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
