"""Rule `length`: answers with too few or too many characters (docs/rules/length.md)."""

from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.text import View


@dataclass(frozen=True, slots=True)
class LengthSettings:
    """Limits of an answer, in characters (code points) without white space around it."""

    min_characters: int = 1
    max_characters: int | None = None
    """None: no limit."""


class LengthRule:
    """Compares every answer with the limits. Labels are as long as they are: format `label` is not looked at."""

    name: ClassVar[str] = "length"

    def __init__(self, settings: LengthSettings = LengthSettings()) -> None:
        self._least = settings.min_characters
        self._most = settings.max_characters

    def check(self, view: View) -> str | None:
        """The reason, or None."""
        if view.format == "label":
            return None
        for answer in view.answers:
            length = len(answer.strip())
            if length < self._least:
                return f"{length:,} characters < {self._least:,} in the answer"
            if self._most is not None and length > self._most:
                return f"{length:,} characters > {self._most:,} in the answer"
        return None
