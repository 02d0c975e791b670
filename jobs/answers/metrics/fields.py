"""F1 over the fields of a JSON answer."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from jobs.answers.metrics.base import Answered

Field = tuple[tuple[str, ...], str, Any]
"""Path, kind of value, value."""


def json_f1(one: Answered) -> float:
    """F1 of the (path, value) pairs of the answer against those expected; 0 if the answer cannot be read.

    2 common / (said + expected), with pairs counted as often as they occur.
    """
    if one.found.how == "failed":
        return 0.0
    expected, said = Counter(flattened(one.expected.value)), Counter(flattened(one.found.value))
    return 2 * (expected & said).total() / (expected.total() + said.total())


def flattened(value: Any, path: tuple[str, ...] = ()) -> Iterator[Field]:
    """Every leaf with its path. Elements of a list share the path `[]`: their order does not count.

    An empty object or list is a leaf. 1 equals 1.0; true does not equal 1.
    """
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flattened(inner, (*path, f".{key}"))
    elif isinstance(value, list) and value:
        for inner in value:
            yield from flattened(inner, (*path, "[]"))
    elif isinstance(value, dict | list):
        yield path, type(value).__name__, None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, "number", value
    else:
        yield path, type(value).__name__, value
