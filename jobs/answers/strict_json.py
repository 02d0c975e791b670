"""JSON as answers may have it: what Python reads beyond the standard, or cannot be worked with, is refused.

The data stage checks expected answers by it and evaluation reads the answers of a model by it, so that no example is
trained whose answer could never be called right.
"""

import json
import math
from typing import Any

from jobs.answers.same import same

MAX_DEPTH = 100


def loads(text: str) -> Any:
    """The value that is all of `text`, white space aside. Raises ValueError with the reason."""
    text = text.strip()
    value, end = first_in(text, 0)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def first_in(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at `start`, and where it ends. Raises ValueError with the reason."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    _check(value)
    return value, end


def _check(value: Any) -> None:
    """Raises ValueError on what cannot be worked with: half of a surrogate pair (`\\ud83d`), which no file can hold,
    and a value in a value in a value, 100 deep, which no person meant."""
    json.dumps(value, ensure_ascii=False).encode()
    level, inner = 0, [value]
    while inner:
        level += 1
        if level > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        inner = [
            one
            for outer in inner
            if isinstance(outer, dict | list)
            for one in (outer.values() if isinstance(outer, dict) else outer)
        ]


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} has no place in JSON")


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is too large")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ, or whose equal keys have equal values."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and not same(found[key], value):
            raise ValueError(f"two values of {key!r}")
        found[key] = value
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_number, object_pairs_hook=_object)
