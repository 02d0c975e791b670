"""Rule `special_characters`: too large a share of signs (docs/rules/special-characters.md)."""

from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.ratios import signs, special
from jobs.data.clean.text import View


@dataclass(frozen=True, slots=True)
class SpecialCharactersSettings:
    """The limit, and what counts."""

    max_ratio: float = 0.4
    """Largest share of special characters among all characters of question and answers."""
    characters: frozenset[str] = frozenset()
    """Count these instead of all signs: for comparison with another tool's list."""


class SpecialCharactersRule:
    """Takes question and answers together: an answer alone may well be a formula."""

    name: ClassVar[str] = "special_characters"

    def __init__(self, settings: SpecialCharactersSettings = SpecialCharactersSettings()) -> None:
        self._most = settings.max_ratio
        self._characters = settings.characters

    def check(self, view: View) -> str | None:
        """The reason, or None."""
        text = view.whole
        ratio = self._listed(text) if self._characters else self._signs(text)
        return f"share of special characters {ratio:.2f} > {self._most:.2f}" if ratio > self._most else None

    def _signs(self, text: str) -> float:
        return special(text) if signs(text) > self._most * len(text) else 0.0

    def _listed(self, text: str) -> float:
        return sum(map(self._characters.__contains__, text)) / len(text) if text else 0.0
