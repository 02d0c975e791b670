"""Lengths and languages that a prompt asks for in words: what P10 and P11 compare."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sftjobs.lint.finding import Part
from sftjobs.lint.text import demands, negated, sentences, unquoted
from sftjobs.spec.prompt import PromptSpec

Unit = Literal["characters", "words", "sentences"]
_EN_UNIT = r"(words?|characters?|sentences?)"
_EN_NUMBER = r"(\d{1,6}|\d{1,3},\d{3}|one|two|three|four|five|six|seven|eight|nine|ten)"
_ZH_UNIT = r"个?(字符|字|词|句)"
_ZH_NUMBER = r"(?<!\d)(\d{1,6}|[一二两三四五六七八九十])"
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: i for words in (_WORDS, "一二三四五六七八九十") for i, word in enumerate(words, 1)} | {"两": 2}
# (pattern with number and unit, bound); `range` has two numbers. The first that matches a place counts.
_PATTERNS: list[tuple[re.Pattern[str], str]] = [
    (re.compile(rf"(?i)\b{_EN_NUMBER}\s*(?:-|–|to|and)\s*{_EN_NUMBER}\s+{_EN_UNIT}"), "range"),
    (re.compile(rf"{_ZH_NUMBER}\s*(?:-|~|～|—|至|到)\s*{_ZH_NUMBER}\s*{_ZH_UNIT}"), "range"),
    (
        re.compile(
            rf"(?i)\b(?:at most|(?:no|not) more than|fewer than|less than|under|up to|within|maximum(?: of)?|max\.?)"
            rf"\s+{_EN_NUMBER}\s+{_EN_UNIT}|\b{_EN_NUMBER}\s+{_EN_UNIT}\s+(?:or (?:less|fewer)|at most|maximum)"
        ),
        "max",
    ),
    (re.compile(rf"(?i)\b(?<!no )(?<!not )(?:at least|more than|over|(?:no|not) (?:fewer|less) than|minimum(?: of)?)"
                rf"\s+{_EN_NUMBER}\s+{_EN_UNIT}"), "min"),
    (re.compile(rf"(?i)\b(?:in|with|exactly)\s+(?:exactly\s+)?{_EN_NUMBER}\s+(?:short\s+)?{_EN_UNIT}"), "exact"),
    (re.compile(rf"(?:不超过|不得超过|不要超过|不多于|至多|最多|少于(?<!不少于)|控制在)\s*{_ZH_NUMBER}\s*{_ZH_UNIT}"
                rf"|{_ZH_NUMBER}\s*{_ZH_UNIT}(?:以内|之内|以下)"), "max"),
    (re.compile(rf"(?:至少|不少于|不得少于|不低于|(?<!不)(?<!得)(?<!要)超过|(?<!不)多于)\s*{_ZH_NUMBER}\s*{_ZH_UNIT}"
                rf"|{_ZH_NUMBER}\s*{_ZH_UNIT}以上"), "min"),
    (re.compile(rf"(?:用|以|恰好|正好)\s*{_ZH_NUMBER}\s*{_ZH_UNIT}"), "exact"),
]  # fmt: skip
_SUBJECTS = {
    "title": r"\btitle|\bheadline|\bsubject line|标题|题目",
    "summary": r"\bsummar|摘要|总结|概括",
    "reason": r"\breason|\bexplanation|\bexplain|\bjustif|理由|原因|解释|说明",
    "description": r"\bdescri|描述|简介",
    "name": r"\bname|名称|名字",
}
_EN_LANGUAGES = {"english": "English", "chinese": "Chinese", "mandarin": "Chinese", "japanese": "Japanese",
                 "german": "German", "french": "French", "spanish": "Spanish"}  # fmt: skip
_ZH_LANGUAGES = {"中文": "Chinese", "汉语": "Chinese", "简体中文": "Chinese", "普通话": "Chinese", "英文": "English",
                 "英语": "English", "日语": "Japanese", "日文": "Japanese"}  # fmt: skip
_LANGUAGE = re.compile(
    rf"(?i)\b(?:answer|reply|replies|respond|write|output|response)\b[^.\n]{{0,40}}?\bin ({'|'.join(_EN_LANGUAGES)})\b"
    r"|(?:只能?|必须|请|一律|全部|均)?(?:用|使用|以)(简体中文|中文|汉语|普通话|英文|英语|日语|日文)(?:来)?"
    r"(?:回答|回复|答复|输出|作答|书写|撰写|写)"
)
_CONDITION = re.compile(r"(?i)\b(?:if|when|unless|same language|otherwise|translate)\b|如果|若|当|否则|翻译|译")


@dataclass(frozen=True)
class Demand:
    """A length that is asked for."""

    part: Part
    span: tuple[int, int]
    least: int
    most: float
    """Infinite without an upper bound."""
    unit: Unit
    subject: str
    """What is to have the length: `answer`, or a part of it such as `title`."""


@dataclass(frozen=True)
class Language:
    """A language that every answer shall have."""

    part: Part
    span: tuple[int, int]
    name: str


def lengths(prompt: PromptSpec) -> list[Demand]:
    """All lengths, in the order of the prompt."""
    return [demand for part in demands(prompt) for demand in sorted(_in(part), key=lambda one: one.span)]


def _in(part: Part) -> Iterator[Demand]:
    text, taken = unquoted(part.text), set[int]()
    for pattern, bound in _PATTERNS:
        for match in pattern.finditer(text):
            places = set(range(*match.span()))
            groups = [group for group in match.groups() if group]
            unit = _unit(groups[-1])
            if places & taken or (bound == "exact" and unit != "sentences"):
                continue  # "with 20 characters" may be said of the data
            taken |= places
            numbers = [_number(group) for group in groups[:-1]]
            least = numbers[0] if bound in ("min", "range", "exact") else 0
            most = numbers[-1] if bound != "min" else float("inf")
            yield Demand(part, match.span(), least, most, unit, _subject(text, match.start()))


def _number(text: str) -> int:
    return _NUMBERS.get(text.lower()) or int(text.replace(",", ""))


def _unit(text: str) -> Unit:
    word = text.lower()
    if word.startswith(("sentence", "句")):
        return "sentences"
    return "words" if word.startswith(("word", "词")) else "characters"


def _subject(text: str, at: int) -> str:
    """The nearest noun before, in the same sentence."""
    before = next(
        (sentence[: at - start] for start, sentence in sentences(text) if start <= at < start + len(sentence)), ""
    )
    found = [(m.start(), name) for name, words in _SUBJECTS.items() for m in re.finditer(f"(?i){words}", before)]
    return max(found)[1] if found else "answer"


def languages(prompt: PromptSpec) -> list[Language]:
    """Languages that are asked for without a condition, in the order of the prompt."""
    found = []
    for part in demands(prompt):
        text = unquoted(part.text)
        for start, sentence in sentences(text):
            for match in _LANGUAGE.finditer(sentence):
                if not _CONDITION.search(sentence) and not negated(sentence, match.start()):
                    name = _EN_LANGUAGES.get((match.group(1) or "").lower()) or _ZH_LANGUAGES[match.group(2)]
                    found.append(Language(part, (start + match.start(), start + match.end()), name))
    return found
