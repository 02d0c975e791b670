"""Rule `language`: the answer is in another language than the question (docs/rules/language.md)."""

import re
from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.script import weighed
from jobs.data.clean.text import View
from jobs.data.clean.unbalanced import split_fences

_TRANSLATION = re.compile(
    r"translat|翻译|译[成为文]|英译|汉译|中译|用[英中法德日韩俄西]{1,2}[文语]|英[文语]|中文|汉语|拼音"
    r"|\b(?:in|into|to|from) (?:english|chinese|mandarin|french|german|spanish|italian|japanese|korean|russian|"
    r"portuguese|dutch|latin|arabic|hindi)\b|\blanguage\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"[{}\[\]();=<>_/\\|*+#$@&^~`]")
_CODE_SHARE = 0.04
_LEAST = {"han": 8, "kana": 8, "hangul": 8}
_LEAST_LETTERS = 40
_LEAST_ASKED = {"han": 4, "kana": 4, "hangul": 4}
_LEAST_LETTERS_ASKED = 15
_PRESENT_LETTERS = 10
_PRESENT_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """What is demanded, and what is not looked at."""

    expected: str | None = None
    """Language that the prompt file demands of every answer, `zh` or `en`; None: that of the question."""
    translations: bool = False
    """Whether questions that speak of a translation or a language are looked at too."""


class LanguageRule:
    """Compares scripts first; a model tells Latin languages apart, in texts of 40 letters and more. Free answers only.

    An answer may use any script that the question, or the prompt around it, uses: a Chinese question about an English
    text may be answered in either.
    """

    name: ClassVar[str] = "language"

    def __init__(self, settings: LanguageSettings = LanguageSettings()) -> None:
        self._expected = settings.expected
        self._translations = settings.translations

    def check(self, view: View) -> str | None:
        """The reason, or None."""
        if view.format != "free":
            return None
        answer = view.answer
        if "```" in answer:
            answer = split_fences(answer)[0]
        script = view.script(answer)
        if view.shares(answer).get(script, 0) < _LEAST.get(script, _LEAST_LETTERS):
            return None
        if script == "latin" and len(_CODE.findall(answer)) > _CODE_SHARE * len(answer):
            return None
        if self._expected is not None:
            language = view.language(answer)
            if language in (self._expected, "none"):
                return None
            return f"the answer is in {language}, the prompt file demands {self._expected}"
        return self._compared(view, answer, script)

    def _compared(self, view: View, answer: str, script: str) -> str | None:
        asked = view.script(view.question)
        if view.shares(view.question).get(asked, 0) < _LEAST_ASKED.get(asked, _LEAST_LETTERS_ASKED) or (
            script == asked and script != "latin"
        ):
            return None
        if script == "latin" == asked:
            if view.shares(view.question)["latin"] < _LEAST_LETTERS:
                return None
            language, wanted = view.language(answer), view.language(view.question)
            if language == wanted or "none" in (language, wanted):
                return None
        else:
            if _present(view.shares(view.question), script, asked):
                return None
            language, wanted = view.language(answer), view.language(view.question)
            language = script if language == "none" else language
            wanted = asked if wanted == "none" else wanted
        if self._is_open(view, script, asked):
            return None
        return f"the answer is in {language}, the question in {wanted}"

    def _is_open(self, view: View, script: str, asked: str) -> bool:
        """Does the question, or the prompt around it, allow another language?"""
        if not self._translations and _TRANSLATION.search(view.question):
            return True
        around = [message["content"] for message in view.messages if message["role"] != "assistant"]
        if script != asked and any(_present(view.shares(text), script, asked) for text in around):
            return True
        return not self._translations and any(_TRANSLATION.search(text) for text in around)


def _present(counts: dict[str, int], script: str, asked: str) -> bool:
    """Is the script used in a text, and not only by a name or two?"""
    if script == "han" and asked == "kana":
        return False  # Japanese is written with Han too; an answer without any kana is not Japanese
    counts = weighed(counts)
    count = counts.get(script, 0)
    return count >= _PRESENT_LETTERS and count >= _PRESENT_SHARE * sum(counts.values())
