"""Metrics of one answer against the expected one."""

from collections.abc import Callable
from typing import Any

from jobs.answers.parse import Parsed


def accuracy(expected: Parsed, found: Parsed) -> bool:
    """The answer, repaired where that needs no guess, is the expected one."""
    return found.how != "failed" and same(found.value, expected.value)


def exact_match(expected: Parsed, found: Parsed) -> bool:
    """The answer is in the format as it stands, and it is the expected one (blanks around it aside)."""
    return found.how == "strict" and same(found.value, expected.value)


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, but true is not 1 (in Python it is)."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


METRICS: dict[str, Callable[[Parsed, Parsed], bool]] = {"accuracy": accuracy, "exact_match": exact_match}
