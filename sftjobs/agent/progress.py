"""The progress file, read while rank 0 appends to it."""

import json
import math
import time
from pathlib import Path
from typing import Any


class Progress:
    """The newest line, and since when there has been no new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self.latest: dict[str, Any] = {}
        self._first: dict[str, Any] = {}
        """First line of the current phase."""
        self._changed = time.monotonic()

    def read(self) -> None:
        """Look for new lines. A line that is no JSON object is not progress."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                self._take(value)

    def _take(self, value: dict[str, Any]) -> None:
        same_phase = value.get("phase") == self.latest.get("phase")
        # Not every line has every field: a loss, once known, stays on show until the next one.
        self.latest = {**self.latest, **value} if same_phase else value
        self._first = self._first if same_phase and self._first else value
        self._changed = time.monotonic()

    def restart(self) -> None:
        """Count silence from now on."""
        self._changed = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since the newest line, or since the start."""
        return time.monotonic() - self._changed

    def number(self, name: str) -> float | None:
        """A finite numeric field of the newest line."""
        return _number(self.latest.get(name))

    @property
    def step(self) -> int | None:
        step = self.number("step")
        return None if step is None else int(step)

    def eta_s(self) -> float | None:
        """Seconds to the end of this phase at its mean speed so far."""
        first, last = self._first, self.latest
        done = (_number(last.get("step")) or 0.0) - (_number(first.get("step")) or 0.0)
        spent = (_number(last.get("t")) or 0.0) - (_number(first.get("t")) or 0.0)
        total, step = self.number("total"), self.number("step")
        if total is None or step is None or done <= 0 or spent <= 0:
            return None
        return round(max(0.0, total - step) * spent / done, 1)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
