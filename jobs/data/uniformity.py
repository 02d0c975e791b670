"""Are answers written in one style, although none is declared? Shares of simple features, for the prompt lint (P17).

One pass and a few counters, so that no answer is kept. What is counted and why: docs/answer-style.md.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.data.style import is_language, restates, sentences

_PROSE = 10  # characters; shorter answers have no style
_ENOUGH = 20  # answers; below, shares say little
_MINORITY = 0.1
_LANGUAGE_MINORITY = 0.02
_SPREAD = 20.0  # 9th decile : 1st decile of the lengths
_ENDED = re.compile(r"[.!?。！？…][”\"」』）)]*\s*\Z")
_MARKDOWN = re.compile(r"^#{1,6} |^\s*[-*] |\*\*[^*\n]+\*\*|^```|^\|.*\|\s*$", re.MULTILINE)
_COURTESY = re.compile(
    r"\s*(?:sure\b|certainly\b|of course\b|absolutely\b|great question\b|hello\b|hi\b|thank(?:s| you)\b|"
    r"当然|好的|没问题|您好|你好|感谢|谢谢|很高兴|亲)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Uniformity:
    """What a share of the answers does. All shares are of the answers with at least 10 characters."""

    answers: int
    """Answers with at least 10 characters."""
    shares: dict[str, float]
    """`ended`, `markdown`, `courtesy`, `zh`, `en`, and `restates` where the question was given."""
    deciles: tuple[int, int]
    """1st and 9th decile of the lengths, in characters."""
    reasons: list[str]
    """In what the answers differ; empty if they are uniform, or too few to say."""


class UniformityCounter:
    """Counts answer by answer."""

    def __init__(self) -> None:
        self._answers = 0
        self._asked = 0
        self._counts: Counter[str] = Counter()
        self._lengths: Counter[int] = Counter()

    def add(self, answer: str, question: str | None = None) -> None:
        """Count one answer, with whether it restates its question if that is given."""
        text = answer.strip()
        if len(text) < _PROSE:
            return
        self._answers += 1
        self._lengths[len(text)] += 1
        found = {
            "ended": _ENDED.search(text[-8:]) is not None,
            "markdown": _MARKDOWN.search(text) is not None,
            "courtesy": _COURTESY.match(text) is not None,
            "zh": is_language(text, "zh"),
            "en": is_language(text, "en"),
        }
        if found["zh"] and found["en"]:  # too few letters to tell
            found["zh"] = found["en"] = False
        if question is not None:
            self._asked += 1
            found["restates"] = restates(question, sentences(text)[0]) if sentences(text) else False
        self._counts.update(name for name, is_so in found.items() if is_so)

    def result(self) -> Uniformity:
        """Shares, and in what the answers differ."""
        total = max(1, self._answers)
        shares = {name: self._counts[name] / total for name in ("ended", "markdown", "courtesy", "zh", "en")}
        if self._asked:
            shares["restates"] = self._counts["restates"] / self._asked
        deciles = (self._decile(0.1), self._decile(0.9))
        reasons = list(_reasons(shares, deciles)) if self._answers >= _ENOUGH else []
        return Uniformity(self._answers, shares, deciles, reasons)

    def _decile(self, share: float) -> int:
        """Smallest length that at least this share of the answers does not exceed; 0 without answers."""
        seen = 0
        for length in sorted(self._lengths):
            seen += self._lengths[length]
            if seen >= share * self._answers:
                return length
        return 0


def uniformity(answers: Iterable[str]) -> Uniformity:
    """How uniform the answers are, without their questions."""
    counter = UniformityCounter()
    for answer in answers:
        counter.add(answer)
    return counter.result()


def _reasons(shares: dict[str, float], deciles: tuple[int, int]) -> Iterable[str]:
    words = {
        "ended": ("end with a full stop", "do not"),
        "markdown": ("use Markdown", "do not"),
        "courtesy": ("open with a courtesy (Sure, 您好)", "do not"),
        "restates": ("begin with the question in other words", "do not"),
    }
    for name, (does, does_not) in words.items():
        share = shares.get(name, 0.0)
        if _MINORITY <= share <= 1 - _MINORITY:
            yield f"{share:.0%} {does}, {1 - share:.0%} {does_not}"
    if min(shares["zh"], shares["en"]) >= _LANGUAGE_MINORITY:
        yield f"{shares['zh']:.0%} are in Chinese, {shares['en']:.0%} in English"
    least, most = deciles
    if most > _SPREAD * max(1, least):
        yield f"a tenth has at most {least:,} characters, another at least {most:,}"
