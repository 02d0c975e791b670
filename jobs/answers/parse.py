"""What a model's text says, by the output format that the prompt asks for.

strict     the text is in the format as it stands
repaired   it can be read without guessing: other case, quotes, "label: x", a code fence
failed     it cannot
"""

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from sftjobs.errors import DataError
from sftjobs.spec.prompt import PromptSpec

Parse = Literal["strict", "repaired", "failed"]


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer as far as it can be read. `value` is None if it failed."""

    value: Any
    how: Parse


FAILED = Parsed(None, "failed")
Parser = Callable[[str], Parsed]

_LEAD = re.compile(r"^(?:the )?(?:label|answer|intent|class|category|output|标签|答案|类别)(?: is)?\s*[:：]?\s*")
_DENIAL = re.compile(r"\b(?:not|no|none|nor|neither|never|cannot|without|\w+n['’]t)\b|[不非没沒未無无]")
"""Words after which a label that the text contains may be what it is not about."""
_FENCE = re.compile(r"```[A-Za-z]*\s*\n(.*?)\n?\s*```", re.DOTALL)


def parser(prompt: PromptSpec) -> Parser:
    """The parser of the prompt's output format. Raises DataError if its pattern or schema cannot be used."""
    output = prompt.output
    if output.format == "label":
        return LabelParser(list(prompt.labels))
    if output.format == "json":
        return JsonParser(output.json_schema)
    if output.format == "regex":
        return _regex(output.pattern)
    return _free


class LabelParser:
    """One of a fixed set of labels."""

    def __init__(self, labels: list[str]) -> None:
        if not labels:
            raise DataError("prompt.labels: the output format is label, but the prompt file defines no labels")
        self._labels = set(labels)
        plain: dict[str, list[str]] = {}
        for label in labels:
            plain.setdefault(_plain(label), []).append(label)
        # Two labels that differ in case or punctuation only are never repaired into one another.
        self._plain = {key: found[0] for key, found in plain.items() if len(found) == 1 and key}
        self._within = [(re.compile(_bounded(key)), label) for key, label in self._plain.items()]

    def __call__(self, text: str) -> Parsed:
        text = text.strip()
        if text in self._labels:
            return Parsed(text, "strict")
        plain = _plain(text)
        label = self._plain.get(plain) or self._plain.get(_LEAD.sub("", plain))
        label = label or self._only_one_within(_folded(text))
        return FAILED if label is None else Parsed(label, "repaired")

    def _only_one_within(self, text: str) -> str | None:
        """The label that the text contains, if it is the only one and the text denies nothing.

        Labels inside longer ones do not count, nor inside a longer name that is no label: `card_lost_again`.
        """
        found = [(match.start(), match.end(), label) for rx, label in self._within for match in rx.finditer(text)]
        outer = [
            (start, end, label)
            for start, end, label in found
            if not any(a <= start and end <= b and (a, b) != (start, end) for a, b, _ in found)
        ]
        labels = {label for _, _, label in outer}
        rest = text
        for start, end, _ in reversed(outer):  # a label may hold such a word itself
            rest = f"{rest[:start]} {rest[end:]}"
        return labels.pop() if len(labels) == 1 and not _DENIAL.search(rest) else None


class JsonParser:
    """A JSON value, of a schema if one is given."""

    def __init__(self, schema: dict[str, Any] | None) -> None:
        self._validator = None
        if schema is not None:
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as error:
                raise DataError(f"prompt.output.json_schema: not a JSON Schema: {error.message}") from None
            self._validator = Draft202012Validator(schema)

    def __call__(self, text: str) -> Parsed:
        whole = _load(text)
        if whole is not None:
            return self._checked(whole[0], "strict")
        fence = _FENCE.search(text)
        inner = _load(fence.group(1)) if fence else _first_value(text)
        return FAILED if inner is None else self._checked(inner[0], "repaired")

    def _checked(self, value: Any, how: Parse) -> Parsed:
        if self._validator is not None and not self._validator.is_valid(value):
            return FAILED
        return Parsed(value, how)


def _load(text: str) -> tuple[Any] | None:
    """The JSON value in a tuple, because the value may be null."""
    try:
        return (json.loads(text.strip(), parse_constant=_refuse),)
    except (ValueError, RecursionError):
        return None


def _first_value(text: str) -> tuple[Any] | None:
    """The first object or array inside other text."""
    start = re.search(r"[{\[]", text)
    if start is None:
        return None
    try:
        return (json.JSONDecoder(parse_constant=_refuse).raw_decode(text, start.start())[0],)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _regex(pattern: str | None) -> Parser:
    try:
        compiled = re.compile(pattern or "")
    except re.error as error:
        raise DataError(f"prompt.output.pattern: {pattern!r} is not a Python pattern: {error}") from None

    def parse(text: str) -> Parsed:
        text = text.strip()
        return Parsed(text, "strict") if compiled.fullmatch(text) else FAILED

    return parse


def _free(text: str) -> Parsed:
    text = text.strip()
    return Parsed(text, "strict") if text else FAILED


def _plain(text: str) -> str:
    """One form for what people see as the same label: width, case, quotes around it, kind of separator."""
    return _stripped(re.sub(r"[\s_\-]+", " ", _folded(text)))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _stripped(text: str) -> str:
    """Without punctuation, symbols and blanks at both ends."""
    start, end = 0, len(text)
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return text[start:end]


def _bounded(label: str) -> str:
    """A pattern for the label as a whole name; scripts without blanks between words need no boundary."""
    left = r"(?<![\w-])" if label[0].isascii() else ""
    right = r"(?![\w-])" if label[-1].isascii() else ""
    words = r"[\s_\-]+".join(re.escape(word) for word in label.split(" "))
    return f"{left}{words}{right}"
