"""Rule `flagged_words`: too large a share of words from a list of the user's (docs/rules/flagged-words.md)."""

import re
from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.ratios import words
from jobs.data.clean.script import HAN
from jobs.data.clean.text import View

_HAN = re.compile(f"[{HAN}]")
_TOKEN = re.compile(rf"[{HAN}]|(?![{HAN}])[^\W\d_](?:[^\s{HAN}]*(?![{HAN}])[^\W\d_])?")


@dataclass(frozen=True, slots=True)
class FlaggedWordsSettings:
    """The list and the limit."""

    words: tuple[str, ...] = ()
    """Case does not count. Empty: the rule does nothing."""
    max_ratio: float = 0.017
    """Largest share of flagged words. Default: Data-Juicer's recipes for Alpaca-CoT, zh and en."""
    joins: tuple[int, ...] = (2, 3)
    """Neighbouring Chinese characters that are taken together as words too."""


class FlaggedWordsRule:
    """Share of listed words among all words of question and answers.

    A Chinese character is a word, and in a mostly Chinese text so are 2 and 3 neighbours (Data-Juicer's word
    augmentation, which takes the pieces of a tokenizer instead of characters). Listed words with a blank, and Chinese
    ones longer than the joins, are counted as parts of the text.
    """

    name: ClassVar[str] = "flagged_words"

    def __init__(self, settings: FlaggedWordsSettings = FlaggedWordsSettings()) -> None:
        listed = {word.strip().lower() for word in settings.words} - {""}
        longest = max(settings.joins, default=1)
        self._parts = sorted(word for word in listed if " " in word)
        self._han = sorted(word for word in listed if _HAN.search(word) and " " not in word)
        self._long = [word for word in self._han if len(word) > longest]
        self._words = listed - set(self._parts)
        self._listed = bool(listed)
        self._most = settings.max_ratio
        self._joins = settings.joins

    def check(self, view: View) -> str | None:
        """The reason, or None."""
        if not self._listed:
            return None
        text = view.whole
        hits, total = self._hits(text, view)
        if not hits or len(hits) <= self._most * total:
            return None
        ratio = min(1.0, len(hits) / total) if total else 1.0
        return f"share of flagged words {ratio:.3f} > {self._most:.3f}: {', '.join(sorted(set(hits))[:3])}"

    def _hits(self, text: str, view: View) -> tuple[list[str], int]:
        """Flagged words as often as they occur, and the number of all words."""
        lower = text.lower()
        if text.isascii() or view.script(text) != "han":
            found = words(lower)
            # A Chinese word stands in another language's text with or without blanks around it.
            hits = [word for word in found if word in self._words and not _HAN.search(word)]
            parts = [*self._parts, *self._han]
        else:
            found = _TOKEN.findall(lower)
            found += ["".join(found[i : i + size]) for size in self._joins for i in range(len(found) - size + 1)]
            hits = [word for word in found if word in self._words]
            parts = [*self._parts, *self._long]
        hits += [part for part in parts if part in lower for _ in range(lower.count(part))]
        return hits, len(found)
