"""What a rule looks at: one example as text, with what several rules derive from it worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from jobs.data.clean.script import language_of, script_of, shares
from jobs.lm.template import Message

Format = Literal["label", "json", "regex", "free"]


@dataclass(slots=True)
class View:
    """One example as the rules see it. Treat as constant: derived values are kept."""

    inputs: tuple[str, ...]
    """What varies of the question: record columns, or the user's turns."""
    answers: list[str]
    """The assistant's turns; the last one is the answer."""
    messages: Sequence[Message]
    task: str
    format: Format
    """Of the answer, as the prompt file demands it."""
    _question: str | None = field(default=None, repr=False)
    _whole: str | None = field(default=None, repr=False)
    _shares: dict[str, dict[str, int]] = field(default_factory=dict, repr=False)
    _languages: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def answer(self) -> str:
        """The last answer; empty if there is none."""
        return self.answers[-1] if self.answers else ""

    @property
    def question(self) -> str:
        """What varies of the question, one input per line."""
        if self._question is None:
            self._question = self.inputs[0] if len(self.inputs) == 1 else "\n".join(self.inputs)
        return self._question

    @property
    def whole(self) -> str:
        """Question and answers, one per line: what ratios of a whole example are taken of."""
        if self._whole is None:
            self._whole = "\n".join([*self.inputs, *self.answers])
        return self._whole

    def shares(self, text: str) -> dict[str, int]:
        """Letters by script of one of the example's texts (script.py)."""
        found = self._shares.get(text)
        if found is None:
            found = self._shares[text] = shares(text)
        return found

    def script(self, text: str) -> str:
        """The script of one of the example's texts."""
        return script_of(self.shares(text))

    def language(self, text: str) -> str:
        """The language of one of the example's texts, `none` if it cannot be told."""
        found = self._languages.get(text)
        if found is None:
            found = self._languages[text] = language_of(text, self.shares(text))
        return found

    @property
    def answer_language(self) -> str:
        """`zh`, `en`, `other`, or `none` (no letters) of the answer, for counting.

        A Latin answer too short to tell counts as English if it is ASCII, as other if not.
        """
        return coarse(self.answer, self.language(self.answer), self.script(self.answer))


def coarse(text: str, language: str, script: str) -> str:
    """`zh`, `en`, `other` or `none`."""
    if language in ("zh", "en"):
        return language
    if script == "none":
        return "none"
    return "en" if language == "none" and text.isascii() else "other"
