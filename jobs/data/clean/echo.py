"""Rule `echo`: the answer repeats the question or the instruction (docs/rules/echo.md)."""

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.text import View

_NO_WORD = re.compile(r"[\W_]+")
_FACTOR = 2
"""An answer this many times longer or shorter cannot be the same text: not worth normalising."""
_FIRST = 8


@dataclass(frozen=True, slots=True)
class EchoSettings:
    """When one of several inputs counts."""

    min_characters: int = 12
    """Shortest single input that an answer may not repeat, letters and digits. Below it the answer may be a choice:
    "Which is larger, A or B?" The question as a whole has no such limit."""


class EchoRule:
    """Compares letters and digits, without case, width (NFKC) and everything else.

    Compared are each answer with the user's turn before it, and the last answer with the inputs. Format `label` is
    not looked at: "refund" may well have the label `refund`.
    """

    name: ClassVar[str] = "echo"

    def __init__(self, settings: EchoSettings = EchoSettings()) -> None:
        self._least = settings.min_characters

    def check(self, view: View) -> str | None:
        """The reason, or None."""
        if view.format == "label" or not view.answers:
            return None
        answer = view.answer
        if _same(answer, view.question):
            return f"the answer repeats the question ({len(answer):,} characters)"
        if len(view.inputs) > 1 and len(answer) >= self._least:
            for text in view.inputs:
                if _same(answer, text) and len(_bare(text)) >= self._least:
                    return f"the answer repeats one of the inputs ({len(answer):,} characters)"
        return self._turns(view)

    @staticmethod
    def _turns(view: View) -> str | None:
        before = ""
        for message in view.messages:
            if message["role"] == "assistant" and _same(message["content"], before):
                return f"an answer repeats the turn before it ({len(before):,} characters)"
            before = message["content"]
        return None


def _same(answer: str, text: str) -> bool:
    if len(answer) * _FACTOR < len(text) or len(text) * _FACTOR < len(answer):
        return False
    if answer == text:
        return bool(answer.strip())
    # Nearly all pairs differ in their first letters: normalise those before all.
    first, other = _bare(answer[:_FIRST]), _bare(text[:_FIRST])
    if len(first) > 2 and len(other) > 2 and first[:2] != other[:2]:
        return False
    bare = _bare(answer)
    return bare != "" and bare == _bare(text)


def _bare(text: str) -> str:
    """Letters and digits of a text: NFKC (Unicode Standard Annex 15), case folded."""
    return _NO_WORD.sub("", unicodedata.normalize("NFKC", text).casefold())
