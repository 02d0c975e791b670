"""The part of a question that varies: without the start and end that all questions of a task share.

Most questions are a prompt file filled in, and a person who reads them wants to see what was filled in.
"""

import re
from typing import Any

from jobs.lm.spans import shared_start

_EDGE = re.compile(r"\n|[:：] ?")
"""Where a text may be cut: within a sentence, what questions share is part of what was asked."""


def last_question(example: dict[str, Any]) -> str:
    """What was asked last; empty if nothing was."""
    asked = [message["content"] for message in example["messages"] if message["role"] == "user"]
    return asked[-1] if asked else ""


class Varying:
    """Sees all questions once, then cuts them. Keeps four texts per task, whatever their number."""

    def __init__(self) -> None:
        self._forward: dict[str, tuple[str, str]] = {}
        self._backward: dict[str, tuple[str, str]] = {}
        self._cuts: dict[str, tuple[int, int]] | None = None

    def see(self, task: str, question: str) -> None:
        """One question of a task."""
        for ends, text in ((self._forward, question), (self._backward, question[::-1])):
            low, high = ends.get(task, (text, text))
            ends[task] = (min(low, text), max(high, text))
        self._cuts = None

    def part(self, task: str, question: str) -> str:
        """What varies of a question that was seen; the whole of one that is alone in its task."""
        if self._cuts is None:
            self._cuts = {name: (_common(self._forward[name]), _common(self._backward[name])) for name in self._forward}
        start, end = self._cuts[task]
        return question[start : max(start, len(question) - end)].strip()


def _common(ends: tuple[str, str]) -> int:
    """Characters that all texts share at their start, up to the last end of a line or colon in them.

    `ends` are the least and the greatest of the texts: they differ first where any two of them do.
    """
    low, high = ends
    if low == high:
        return 0
    shared = low[: shared_start(low, high)]
    return max((found.end() for found in _EDGE.finditer(shared)), default=0)
