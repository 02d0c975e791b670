"""Does an answer follow the style that the prompt file declares? Heuristics on words, not understanding
(docs/answer-style.md has the definitions).
"""

import re

from jobs.data.cooccurrence.terms import terms
from sftjobs.spec.prompt import StyleSpec

_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_SUMMARY = re.compile(
    r"^(?:in (?:short|summary|conclusion|brief)|to (?:sum up|summari[sz]e)|overall|therefore|so,|"
    r"总之|综上|总的来说|总体来说|简而言之|概括(?:来说|地说)?|因此|所以)",
    re.IGNORECASE,
)
_SHARED = 0.3
"""Share of the question's words in a sentence that restates it."""
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_LATIN = re.compile(r"[A-Za-z]")


class StyleChecker:
    """The declared style, ready for many answers."""

    def __init__(self, style: StyleSpec) -> None:
        self._style = style

    def check(self, question: str, answer: str) -> list[str]:
        """What the answer does not follow; empty if it follows the style."""
        style, found = self._style, []
        length = len(answer.strip())
        if style.min_characters is not None and length < style.min_characters:
            found.append(f"{length:,} characters, fewer than style.min_characters {style.min_characters:,}")
        if style.max_characters is not None and length > style.max_characters:
            found.append(f"{length:,} characters, more than style.max_characters {style.max_characters:,}")
        if style.language is not None and not _is_language(answer, style.language):
            found.append(f"the answer is not in {style.language}")
        return found + self._parts(question, answer)

    def _parts(self, question: str, answer: str) -> list[str]:
        parts = self._style.parts
        if not parts:
            return []
        sentences = [one.strip() for one in _SENTENCE.findall(answer) if one.strip()]
        found = []
        if len(sentences) < len(parts):
            found.append(f"{len(sentences)} sentences for {len(parts)} parts ({', '.join(parts)})")
        if "restate" in parts and not (sentences and restates(question, sentences[0])):
            found.append("the first sentence does not restate the question")
        if "summarise" in parts and not (len(sentences) > 1 and summarises(sentences)):
            found.append("the last sentence does not summarise")
        return found


def restates(question: str, sentence: str) -> bool:
    """The sentence has at least 30 % of the question's words (pairs of characters in Chinese)."""
    asked = terms(question)
    return bool(asked) and len(asked & terms(sentence)) >= _SHARED * len(asked)


def summarises(sentences: list[str]) -> bool:
    """The last sentence opens like a summary, or half of its words stand in the sentences before it."""
    last = sentences[-1]
    if _SUMMARY.match(last):
        return True
    words = terms(last)
    return bool(words) and len(words & terms(" ".join(sentences[:-1]))) >= 0.5 * len(words)


def _is_language(text: str, language: str) -> bool:
    chinese, latin = len(_CHINESE.findall(text)), len(_LATIN.findall(text))
    if not chinese and not latin:
        return True
    # Chinese text has Latin names and terms in it; English text has hardly a Chinese character
    return chinese >= 0.2 * (chinese + latin) if language == "zh" else chinese < 0.05 * (chinese + latin)
