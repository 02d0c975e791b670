"""Values and expectations in plain words, for messages about a wrong value."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]
"""A JSON Schema, as pydantic writes it."""

MANY = 5
"""Keys that a message lists at most."""
_NUMBER_WITH_MARKS = re.compile(r"[-+]?[0-9][0-9_,]*(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most likely meant to be, or None."""
    folded = {k.lower().replace("-", "_"): k for k in known}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def listed(items: Iterable[str], last: str = "or") -> str:
    """`a, b or c`."""
    words = list(items)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def shortened(text: str, at_most: int = 60) -> str:
    """One line of at most `at_most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= at_most else line[: at_most - 1] + "…"


def describe(value: Any) -> str:
    """What was written, with its type: `'1e-4x' is text`."""
    if value is None:
        return "nothing is written here"
    if isinstance(value, bool):
        return f"{str(value).lower()} is neither text nor a number"
    if isinstance(value, str):
        return f"'{shortened(value)}' is text" if value.strip() else "this is empty text"
    if isinstance(value, int):
        return f"{value} is a whole number"
    if isinstance(value, float):
        return f"{value:g} is a number"
    if isinstance(value, list):
        return "this is a list" if value else "this is an empty list"
    return "this is a mapping (key: value)" if value else "this is an empty mapping"


def expected(schema: Schema, definitions: Schema) -> str:
    """What a field accepts, in words."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        keys = list(target["properties"])
        some = listed(keys, "and") if len(keys) <= MANY else f"{', '.join(keys[:MANY])}, ..."
        return f"a mapping with the keys {some}"
    if "anyOf" in schema:
        parts = [expected(part, definitions) for part in schema["anyOf"] if part.get("type") != "null"]
        return " or ".join(parts)
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return listed(str(choice) for choice in schema["enum"])
    return _of_type(schema, definitions)


def _of_type(schema: Schema, definitions: Schema) -> str:
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + bounds(schema)
    if kind == "boolean":
        return "true or false"
    if kind == "array":
        return f"a list of {expected(schema['items'], definitions)}"
    if kind == "object":
        inner = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
        many = ", at least one" if schema.get("minProperties") else ""
        return f"a mapping of names to {expected(inner, definitions)}{many}" if isinstance(inner, dict) else "a mapping"
    return "text that is not empty" if schema.get("minLength") else "text"


def bounds(schema: Schema) -> str:
    """` of at least 1`, ` above 0 and below 1`; empty without limits."""
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{word} {schema[key]:g}" if schema[key] < 1e6 else f"{word} {schema[key]:,.0f}"
             for key, word in words.items() if key in schema]  # fmt: skip
    if not found:
        return ""
    return f", {listed(found, 'and')}"


def choices(schema: Schema) -> list[str]:
    """The words that a field accepts; empty if it takes none."""
    if "anyOf" in schema:
        return [word for part in schema["anyOf"] for word in choices(part)]
    if "const" in schema:
        return [str(schema["const"])]
    return [str(word) for word in schema.get("enum", [])]


def takes_numbers(schema: Schema) -> bool:
    """True if a number of some size is accepted."""
    return schema.get("type") in ("integer", "number") or any(takes_numbers(p) for p in schema.get("anyOf", []))


def takes_text(schema: Schema) -> bool:
    """True if any text is accepted."""
    free = schema.get("type") == "string" and "enum" not in schema and "const" not in schema
    return free or any(takes_text(part) for part in schema.get("anyOf", []))


def pattern_words(schema: Schema) -> str:
    """What the pattern of a text means; empty if there is none."""
    parts = [schema, *schema.get("anyOf", [])]
    return next((str(part["$comment"]) for part in parts if "$comment" in part), "")


def plain_number(text: str) -> str | None:
    """`1000` for `1_000`, `1,000` and a quoted `1000`: how YAML wants the number that was meant; None if none was."""
    if _NUMBER_WITH_MARKS.fullmatch(text):
        return text.replace("_", "").replace(",", "")
    return None
