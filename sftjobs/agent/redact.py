"""Replace known secret values in a stream of bytes, also where a secret is split over two reads."""

import re
from collections.abc import Sequence

REPLACEMENT = b"[redacted]"
MIN_LENGTH = 4
"""Shorter values are left alone: replacing every `1` would destroy the log and hide nothing."""


class Redactor:
    """One stream. `feed` gives back what is safe to show; `flush` the rest."""

    def __init__(self, secrets: Sequence[str]) -> None:
        values = sorted({s.encode() for s in secrets if len(s) >= MIN_LENGTH}, key=len, reverse=True)
        self._secrets = values
        # Longest first: at one place the alternation must not stop at a shorter secret that starts a longer one.
        self._pattern = re.compile(b"|".join(re.escape(value) for value in values)) if values else None
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What can be shown now; a tail that may be the start of a secret is kept for the next call."""
        if self._pattern is None:
            return data
        text = self._held + data
        shown, position = bytearray(), 0
        hold = self._hold(text, 0)
        while (match := self._pattern.search(text, position)) is not None and match.start() < hold:
            shown += text[position : match.start()] + REPLACEMENT
            position = match.end()
            if position > hold:
                hold = self._hold(text, position)
        shown += text[position:hold]
        self._held = text[hold:]
        return bytes(shown)

    def flush(self) -> bytes:
        """The kept tail, at the end of the stream: no longer the start of a secret, but it may hold a shorter one."""
        rest, self._held = self._held, b""
        return rest if self._pattern is None else self._pattern.sub(REPLACEMENT, rest)

    def _hold(self, text: bytes, start: int) -> int:
        """The first index from `start` at which the rest of `text` is the beginning of a secret."""
        longest = len(self._secrets[0])
        for index in range(max(start, len(text) - longest + 1), len(text)):
            tail = text[index:]
            if any(len(value) > len(tail) and value.startswith(tail) for value in self._secrets):
                return index
        return len(text)
