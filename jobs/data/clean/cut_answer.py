"""Rule `cut_answer`: an answer stops in the middle of a sentence where many answers stop (docs/rules/cut-answer.md)."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.text import View

_END = frozenset(".!?。！？…｡．~～;；।؟۔։។။") | frozenset("\"'”’»)]}）】」』》〉〕>`*_|")
"""Signs that end a sentence, a quotation, a bracket or a piece of markup."""
_LEAST_AT_CAP = 10
_FACTOR = 5.0
"""A pile-up has this many times the answers that its neighbourhood lets expect."""
_SIGMA = 6.0
"""And this many standard deviations more (Poisson: the square root of the expected number)."""
_MOST_ABOVE = 0.1
"""Answers longer than a cap, as a share of those at the cap: records of another source."""


@dataclass(frozen=True, slots=True)
class CutAnswerSettings:
    """Where answers were cut."""

    cap: int | None = None
    """Length at which they were cut, in `unit`; None: the rule does nothing. find_length_cap finds it in the data."""
    unit: str = "characters"
    """`characters` or `tokens`, for the reason."""


class CutAnswerRule:
    """Both must hold: the length is at the cap, and the answer does not end like an end."""

    name: ClassVar[str] = "cut_answer"

    def __init__(self, settings: CutAnswerSettings = CutAnswerSettings()) -> None:
        self._cap = settings.cap
        self._unit = settings.unit

    def check(self, view: View) -> str | None:
        """The reason, or None. For a cap in characters."""
        return self.reason(view.answer, len(view.answer)) if view.format == "free" else None

    def reason(self, answer: str, length: int) -> str | None:
        """The same for an answer whose length was counted elsewhere, in tokens for example."""
        if self._cap is None or not self._cap - slack(self._cap) <= length <= self._cap or not ends_open(answer):
            return None
        end = answer.rstrip()[-12:]
        return f"{length:,} {self._unit} at the cap of {self._cap:,}, and the answer ends with {end!r}"


def slack(cap: int) -> int:
    """How far below the cap a cut answer may be: white space was removed, or a character of many tokens left out."""
    return max(2, cap // 100)


def ends_open(text: str) -> bool:
    """Whether a text ends without punctuation, closing bracket, markup or emoji. False for the empty text."""
    end = text.rstrip()[-1:]
    return end != "" and end not in _END and unicodedata.category(end) not in ("So", "Sk", "Mn", "Cf")


def find_length_cap(histogram: Sequence[int]) -> int | None:
    """The length at which answers pile up below their maximum; None if they do not.

    `histogram[n]` is the number of answers of length n, best of those for which ends_open is true: canned answers of
    one length are no cut. A cap is the longest length of the data but for a few, with many more answers at it than
    the lengths from 0.8 of it on let expect.
    """
    total = sum(histogram)
    above = 0
    for cap in range(len(histogram) - 1, 1, -1):
        if not histogram[cap]:
            continue
        low = cap - slack(cap)
        at = sum(histogram[low : cap + 1])
        start = int(0.8 * low)
        expected = sum(histogram[start:low]) / max(1, low - start) * (cap + 1 - low)
        clear = at - expected > _SIGMA * max(1.0, expected) ** 0.5
        if at >= _LEAST_AT_CAP and at >= _FACTOR * expected and clear and above <= _MOST_ABOVE * at:
            return cap
        above += histogram[cap]
        if above > _MOST_ABOVE * total:
            return None
    return None
