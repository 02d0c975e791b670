"""Rule `repetition`: a text that repeats itself (docs/rules/repetition.md)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.ratios import N, letters, repeated_share, repeats_characters, word_repetition, words
from jobs.data.clean.text import View


@dataclass(frozen=True, slots=True)
class RepetitionSettings:
    """Limits of a text, and of which text."""

    max_character_ratio: float = 0.6
    """Largest share of the most frequent sequences of 10 characters. Default: Data-Juicer's recipe for Chinese."""
    max_word_ratio: float = 0.5
    """Largest share of sequences of 10 words that occur more than once; of 10 letters in a Chinese or Japanese text.
    Default: Data-Juicer's."""
    question: bool = True
    """Whether the question is looked at too."""


class RepetitionRule:
    """Looks at each text alone: a long question would hide an answer that repeats itself."""

    name: ClassVar[str] = "repetition"

    def __init__(self, settings: RepetitionSettings = RepetitionSettings()) -> None:
        self._characters = settings.max_character_ratio
        self._words = settings.max_word_ratio
        self._question = settings.question

    def check(self, view: View) -> str | None:
        """The reason, or None."""
        reason = self._reason(view, view.answers, "answer")
        return reason or (self._reason(view, view.inputs, "question") if self._question else None)

    def _reason(self, view: View, texts: Iterable[str], where: str) -> str | None:
        for text in texts:
            ratio = repeats_characters(text, self._characters)
            if ratio is not None:
                return f"character repetition {ratio:.2f} > {self._characters:.2f} in the {where}"
            ratio = self._word_ratio(view, text)
            if ratio is not None:
                return f"word repetition {ratio:.2f} > {self._words:.2f} in the {where}"
        return None

    def _word_ratio(self, view: View, text: str) -> float | None:
        """Share of repeated sequences of 10 words if above the limit; in Chinese and Japanese a letter is a word."""
        if len(text) > N and view.script(text) in ("han", "kana"):
            return repeated_share(letters(text), self._words)
        if len(text.split()) <= N:
            return None
        ratio = word_repetition(words(text))
        return ratio if ratio > self._words else None
