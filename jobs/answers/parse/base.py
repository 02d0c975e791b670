"""What a model's text says, and if nothing can be read, why not.

strict     the text is in the format as it stands
repaired   it can be read without guessing: other case, quotes, "label: x", a code fence
failed     it cannot; `why` is one of CLASSES
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

Parse = Literal["strict", "repaired", "failed"]
FailureClass = Literal[
    "empty",
    "cut_off",
    "refusal",
    "no_label",
    "unknown_label",
    "several_labels",
    "denied",
    "no_json",
    "invalid_json",
    "several_values",
    "schema",
    "pattern",
]

CLASSES: dict[FailureClass, str] = {
    "empty": "nothing was said",
    "cut_off": "cut off at eval.max_new_tokens before it could be read",
    "refusal": "the model says that it cannot or will not answer",
    "no_label": "text without a label in it",
    "unknown_label": "a name like a label, but none of the prompt's",
    "several_labels": "more than one label",
    "denied": "a label beside a word like `not`",
    "no_json": "text without a JSON object or list in it",
    "invalid_json": "JSON with a mistake in it that cannot be repaired without guessing",
    "several_values": "more than one JSON value",
    "schema": "JSON that does not satisfy prompt.output.json_schema",
    "pattern": "text that does not match prompt.output.pattern",
}
"""Why an answer cannot be read, for people."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer as far as it can be read. `value` is None if it failed, and `why` is None unless it did."""

    value: Any
    how: Parse
    why: FailureClass | None = None

    def of_cut_text(self) -> "Parsed":
        """The same if the text was cut off at a limit: what is missing may be the only thing wrong with it."""
        return replace(self, why="cut_off") if self.why in _OPEN else self


_OPEN: frozenset[FailureClass | None] = frozenset(
    {"empty", "no_label", "unknown_label", "no_json", "invalid_json", "pattern"}
)
"""Failures of which more text could have made an answer."""

Parser = Callable[[str], Parsed]


def failed(why: FailureClass) -> Parsed:
    """An answer that cannot be read."""
    return Parsed(None, "failed", why)


_THOUGHTS = re.compile(r"\A\s*<think>(.*?</think>)?", re.DOTALL)
_REFUSAL = re.compile(
    r"^\W*(?:i['’]?m |i am )?(?:very |so |really )?(?:sorry|afraid)\b"
    r"|^\W*(?:unfortunately|i apologi[sz]e)\b"
    r"|\bi (?:can(?:no|['’])t|can not|am (?:not able|unable) to|['’]m (?:not able|unable) to|won['’]t|will not"
    r"|must decline|decline to)\b"
    r"|\bi['’]m (?:not able|unable) to\b"
    r"|\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b"
    r"|^\W*(?:很|非常|十分|实在)?(?:抱歉|对不起|不好意思|遗憾)"
    r"|作为(?:一个|一名|一款)?(?:ai|人工智能|(?:大型)?语言模型)"
    r"|我(?:暂时|目前|现在)?(?:无法|不能|没法|没有办法|无权|不便)"
)


def after_thoughts(parse: Parser) -> Parser:
    """Reads what stands after `<think>...</think>`, which a reasoning model puts before its answer."""

    def parse_rest(text: str) -> Parsed:
        thoughts = _THOUGHTS.match(text)
        if thoughts is None:
            return parse(text)
        if thoughts[1] is None:  # they never end
            return failed("cut_off")
        found = parse(text[thoughts.end() :])
        return replace(found, how="repaired") if found.how == "strict" else found

    return parse_rest


def refuses(text: str) -> bool:
    """Whether a text that holds no answer says that there will be none."""
    return _REFUSAL.search(folded(text).strip()) is not None


def folded(text: str) -> str:
    """One form for what differs in width and case only."""
    return unicodedata.normalize("NFKC", text).casefold()


def stripped(text: str) -> str:
    """Without punctuation, symbols and blanks at both ends."""
    start, end = 0, len(text)
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return text[start:end]
