"""A run spec as YAML in its resolved form: every value that counts, with what nobody wrote marked as default."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from sftjobs.spec.run import RunSpec

_PLAIN = re.compile(r"[A-Za-z./][\w./-]*(://[\w./@-]+)?", re.ASCII)
_NOT_PLAIN = re.compile(r"(?i)true|false|null|yes|no|on|off|\.?(inf|nan)|[.]?[0-9].*|-.*|\.*")
_BLOCK = re.compile(r"\S[^\x00-\x09\x0b-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]*")


def render_spec(spec: RunSpec) -> str:
    """YAML that `load` reads back to the same spec; `# default` marks what run.yaml does not say. Unset is left out."""
    return "\n".join(_mapping(spec, "")) + "\n"


def _mapping(model: BaseModel, indent: str) -> Iterator[str]:
    for name in type(model).model_fields:
        value, written = getattr(model, name), name in model.model_fields_set
        if value is not None and (written or value not in ({}, [])):
            yield from _entry(name, value, indent, "" if written else "  # default")


def _entry(key: str, value: Any, indent: str, note: str = "") -> Iterator[str]:
    start = f"{indent}{_text(key)}:"
    inner = indent + "  "
    if isinstance(value, BaseModel):
        below = list(_mapping(value, inner))
        if below:
            yield from [start, *below]
        elif not note:
            yield f"{start} {{}}"
    elif isinstance(value, dict) and value:
        yield start + note
        for name, item in value.items():
            yield from _entry(str(name), item, inner)
    elif isinstance(value, list) and any(isinstance(item, BaseModel) for item in value):
        yield start + note
        for item in value:
            first, *rest = _mapping(item, inner + "  ")
            yield f"{inner}- {first.lstrip()}"
            yield from rest
    elif isinstance(value, str) and "\n" in value.rstrip("\n") and _is_block(value):
        yield f"{start} |{'' if value.endswith(chr(10)) else '-'}{note}"
        yield from (f"{inner}{line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{start} {_value(value)}{note}"


def _value(value: Any) -> str:
    """A value on one line, in YAML's flow form."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(str(key))}: {_value(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def _text(text: str) -> str:
    """Plain where no YAML reader takes it for something else, else in double quotes."""
    if _PLAIN.fullmatch(text) and not _NOT_PLAIN.fullmatch(text):
        return text
    escaped = json.dumps(text, ensure_ascii=False)
    return re.sub(r"[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]", lambda match: f"\\u{ord(match[0]):04x}", escaped)


def _is_block(text: str) -> bool:
    """True if the text can be written as a literal block without changing it."""
    return _BLOCK.fullmatch(text) is not None and not text.endswith("\n\n")
