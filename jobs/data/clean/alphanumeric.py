"""Rule `alphanumeric`: too small a share of letters and digits (docs/rules/alphanumeric.md)."""

from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.ratios import alphanumeric
from jobs.data.clean.text import View

_FIRST = 64


@dataclass(frozen=True, slots=True)
class AlphanumericSettings:
    """The limit."""

    min_ratio: float = 0.1
    """Least share of letters, digits and Chinese characters among all characters of question and answers. Default:
    Data-Juicer's recipe for Chinese Alpaca-CoT."""


class AlphanumericRule:
    """Takes question and answers together: an answer alone may well be an emoji."""

    name: ClassVar[str] = "alphanumeric"

    def __init__(self, settings: AlphanumericSettings = AlphanumericSettings()) -> None:
        self._least = settings.min_ratio

    def check(self, view: View) -> str | None:
        """The reason, or None."""
        text = view.whole
        # The first characters are enough for nearly every text that passes.
        if sum(map(str.isalnum, text[:_FIRST])) >= self._least * len(text):
            return None
        ratio = alphanumeric(text)
        if ratio >= self._least or not text.strip():
            return None
        return f"share of letters and digits {ratio:.2f} < {self._least:.2f}"
