"""A JSON value, of a schema if one is given."""

import json
import re
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from jobs.answers import strict_json
from jobs.answers.parse.base import Parsed, failed, refuses
from jobs.answers.same import same
from sftjobs.errors import DataError

_FENCE = re.compile(r"```[ \t]*[A-Za-z0-9]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_PLACEHOLDER = re.compile(r"[\[{][^\[\]{}\"“”']{0,80}[\]}]")
"""`[note]` or `{name}` in a sentence."""
_PIECE = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")'
    r"|“(?P<curly>[^“”\\]*)”"
    r"|'(?P<single>[^'\"\\\n]*)'"
    r"|(?P<comma>[,，](?=\s*[}\]｝]))"
    r"|(?P<wide>[：，｛｝［］])"
    r"|(?P<constant>\b(?:True|False|None)\b)"
)
_BEGIN = re.compile(r"[{\[｛［]")
_NARROW = str.maketrans("：，｛｝［］", ":,{}[]")
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}


class JsonParser:
    """Reads the text, what stands in a code fence, or the only object or list in a text."""

    def __init__(self, schema: dict[str, Any] | None) -> None:
        self._validator = None
        if schema is not None:
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as error:
                raise DataError(f"prompt.output.json_schema: not a JSON Schema: {error.message}") from None
            self._validator = Draft202012Validator(schema)

    def __call__(self, text: str) -> Parsed:
        if not text.strip():
            return failed("empty")
        whole = _load(text)
        if whole is not None:
            return Parsed(whole[0], "strict") if self._valid(whole[0]) else failed("schema")
        values = _candidates(text)
        if values is None:
            return failed("invalid_json")
        if not values:
            broken = _BEGIN.search(text) is not None
            return failed("refusal" if refuses(text) else "invalid_json" if broken else "no_json")
        fitting = [value for value in values if self._valid(value)]
        if not fitting:
            return failed("schema")
        if not all(same(value, fitting[0]) for value in fitting):
            return failed("several_values")
        return Parsed(fitting[0], "repaired")

    def _valid(self, value: Any) -> bool:
        return self._validator is None or self._validator.is_valid(value)


def _candidates(text: str) -> list[Any] | None:
    """The JSON values of a text: of its code fences if they hold any, else of the text; each as it is or mended.

    None if there is one that cannot be read.
    """
    fenced = [loaded[0] for fence in _FENCE.findall(text) if (loaded := _load(fence) or _load(mended(fence)))]
    if fenced:
        return fenced
    start = _BEGIN.search(text)
    if start is None:
        return []
    values = _values(text)
    # An apostrophe in the words before the value is no quote.
    return _values(mended(text[start.start() :])) if values is None else values


def mended(text: str) -> str:
    """JSON with what can only be meant in one way put right, outside its strings.

    A comma before a closing bracket goes; full-width punctuation and quotes become those of JSON, as do the single
    quotes, True, False and None of Python. What does not then load stays a failure.
    """

    def put_right(match: re.Match[str]) -> str:
        kind = match.lastgroup
        if kind in ("curly", "single"):
            return json.dumps(match[kind], ensure_ascii=False)
        if kind == "comma":
            return ""
        if kind == "wide":
            return match["wide"].translate(_NARROW)
        return _CONSTANTS[match["constant"]] if kind == "constant" else match[0]

    return _PIECE.sub(put_right, text)


def _load(text: str) -> tuple[Any] | None:
    """The JSON value in a tuple, because the value may be null."""
    try:
        return (strict_json.loads(text),)
    except ValueError:
        return None


def _values(text: str) -> list[Any] | None:
    """The objects and lists inside other text; None if one cannot be read: it may be the one that was meant, and what
    is inside it less than was meant."""
    place, found = 0, []
    while (start := _BEGIN.search(text, place)) is not None:
        placeholder = _PLACEHOLDER.match(text, start.start())
        try:
            value, place = strict_json.first_in(text, start.start())
        except ValueError:
            if placeholder is None:
                return None
            place = placeholder.end()
        else:
            found.append(value)
    return found
