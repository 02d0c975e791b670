"""Does an answer follow the style that the prompt file declares? Heuristics on words, not understanding
(docs/answer-style.md has the definitions, and how often they agree with a person).
"""

import json
import re
from typing import Any

from jobs.data.clean.script import language_of, shares
from jobs.data.cooccurrence.terms import terms
from jobs.data.near.shingles import is_east_asian
from sftjobs.spec.prompt import OutputSpec, StyleSpec

# A full stop inside a number or a name (29.44, v1.2) ends nothing.
_SENTENCE = re.compile(r"(?:[^.!?。！？\n]|\.(?!\s|$))+[.!?。！？]*[”\"」』）)]*")
_ITEM = re.compile(r"^\s*(?:[-*•·#|>]|[（(]?(?:\d{1,3}|[一二三四五六七八九十]+)[.)）、](?!\d)\s*)")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|https?://\S+", re.DOTALL)
_SUMMARY = re.compile(
    r"\s*(?:in (?:short|summary|conclusion|brief|a word)\b|to (?:sum up|summari[sz]e|conclude)\b|overall\b|"
    r"all in all\b|therefore\b|thus\b|so,|"
    r"总之|总而言之|综上|总的来说|总的来看|总体来说|总体而言|简而言之|简言之|概括(?:来说|地说|起来)?|"
    r"一句话|因此|所以|由此可见)",
    re.IGNORECASE,
)
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a about all am an and any are as at be been by can could did do does for from give given had has have he her "
        "his how i if in is it its me my not of on or our please she should so some that the their there these they "
        "this those to was we were what when where which who why will with would you your",
    )
)
"""English words that say nothing about what a sentence is about."""
_RESTATED = 0.4
_RESTATED_WORDS, _RESTATED_PAIRS = 2, 3
_SUMMARISED, _SUMMARY_CONTENT = 0.5, 4


class StyleChecker:
    """The declared style, ready for many answers."""

    def __init__(self, style: StyleSpec, output: OutputSpec | None = None) -> None:
        self._style = style
        self._is_json = output is not None and output.format == "json"

    def check(self, question: str, answer: str) -> list[str]:
        """What the answer does not follow; empty if it follows the style.

        Of a JSON answer the length is that of the whole; language and parts are those of the texts inside.
        """
        style, found = self._style, []
        length = len(answer.strip())
        if style.min_characters is not None and length < style.min_characters:
            found.append(f"{length:,} characters, fewer than style.min_characters {style.min_characters:,}")
        if style.max_characters is not None and length > style.max_characters:
            found.append(f"{length:,} characters, more than style.max_characters {style.max_characters:,}")
        text = answer
        if self._is_json:
            try:
                text = "\n".join(_texts(json.loads(answer)))
            except (ValueError, RecursionError):
                return [*found, "the answer is not JSON"]
        if style.language is not None and not is_language(text, style.language):
            found.append(f"the answer is not in {style.language}")
        return found + self._parts(question, text)

    def _parts(self, question: str, answer: str) -> list[str]:
        parts = self._style.parts
        if not parts:
            return []
        every = sentences(answer)
        found = []
        # One sentence may restate and answer; a summary needs something before it.
        least = len(parts) if "summarise" in parts else 1
        if len(every) < least:
            found.append(f"{_counted(len(every))} for {len(parts)} parts ({', '.join(parts)})")
        for i, part in enumerate(parts):
            where = [0] if i == 0 else [-1] if i == len(parts) - 1 else range(1, len(every) - 1)
            name = "first sentence" if i == 0 else "last sentence" if i == len(parts) - 1 else "middle"
            if part == "restate" and not any(restates(question, every[at]) for at in where if every):
                found.append(f"the {name} does not restate the question")
            if part == "summarise" and not any(summarises(every, at) for at in where if every):
                found.append(f"the {name} does not summarise")
        if "restate" in parts and "answer" in parts and len(every) == 1 and not content(every[0]) - content(question):
            found.append("it restates the question and does not answer it")
        return found


def sentences(answer: str) -> list[str]:
    """The sentences of an answer; a line is one at least. List marks are not sentences."""
    return [one.strip() for one in _SENTENCE.findall(answer) if one.strip(" \t-*•·#.)）0123456789、")]


def content(text: str) -> set[str]:
    """Words that say what a text is about: without common English words; pairs of characters in Chinese."""
    return terms(text) - _COMMON


def restates(question: str, sentence: str) -> bool:
    """The overlap |q and s| / min(|q|, |s|) of their content is at least 0.4, with 2 words or 3 pairs of characters.

    The overlap coefficient (Szymkiewicz-Simpson), not Jaccard: a question often holds a long text beside what is asked.
    """
    asked, said = content(question), content(sentence)
    common = len(asked & said)
    least = _RESTATED_PAIRS if is_east_asian(sentence) else _RESTATED_WORDS
    return common >= min(least, len(asked)) > 0 and common >= _RESTATED * min(len(asked), len(said))


def summarises(every: list[str], at: int = -1) -> bool:
    """The sentence opens like a summary, or takes up several of the other sentences.

    That is: it is no list item, has at least 4 words or pairs of characters of content, half of them stand in the other
    sentences, and no single one of these has them all.
    """
    closing = every[at]
    if _SUMMARY.match(closing):
        return True
    others = [content(one) for i, one in enumerate(every) if i != at % len(every)]
    said = content(closing)
    if len(said) < _SUMMARY_CONTENT or _ITEM.match(closing):
        return False
    taken = said & set[str]().union(*others)
    return len(taken) >= _SUMMARISED * len(said) and not any(taken <= one for one in others)


def is_language(text: str, language: str) -> bool:
    """Is the prose of a text in a language? True if it has too few letters to tell."""
    prose = _CODE.sub(" ", text)
    found = language_of(prose, shares(prose))
    return found in (language, "none")


def _texts(value: Any) -> list[str]:
    """The texts of a JSON value, keys left out: they are part of the format."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for one in inner for text in _texts(one)]


def _counted(number: int) -> str:
    return f"{number} sentence{'' if number == 1 else 's'}"
