"""Shares of groups with one key and with two."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.data.balance import equal_shares, shares

GROUPS = st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), st.integers(1, 40), min_size=1)


@pytest.mark.parametrize(
    ("available", "keep", "expected"),
    [
        ({"a": 10, "b": 10}, 10, {"a": 5, "b": 5}),
        ({"a": 2, "b": 10}, 10, {"a": 2, "b": 8}),
        ({"a": 10, "b": 10, "c": 10}, 11, {"a": 3, "b": 4, "c": 4}),
        ({"a": 1, "b": 1}, 9, {"a": 1, "b": 1}),
        ({}, 9, {}),
    ],
)
def test_one_key(available: dict[str, int], keep: int, expected: dict[str, int]) -> None:
    assert equal_shares(available, keep) == expected


def test_labels_are_equal_although_one_of_them_has_a_single_difficulty() -> None:
    available = {("a", "easy"): 1000, ("b", "easy"): 1000, ("b", "hard"): 1000, ("b", "middle"): 50}
    assert shares(available, 400) == {
        ("a", "easy"): 200,
        ("b", "easy"): 75,
        ("b", "hard"): 75,
        ("b", "middle"): 50,
    }


def test_no_key_is_a_plain_limit() -> None:
    assert shares({(): 7}, 5) == {(): 5}
    assert shares({(): 7}, 9) == {(): 7}


@given(GROUPS, st.integers(0, 400))
@settings(max_examples=200, deadline=None)
def test_whatever_the_groups(available: dict[tuple[str, ...], int], keep: int) -> None:
    found = shares(available, keep)
    assert sum(found.values()) == min(keep, sum(available.values()))
    assert all(0 <= found[group] <= available[group] for group in available)
    assert shares(dict(reversed(available.items())), keep) == found
    sizes, taken = Counter[str](), Counter[str]()
    for group, number in available.items():
        sizes[group[0]] += number
        taken[group[0]] += found[group]
    limited = max((taken[label] for label in sizes), default=0)
    for label in sizes:
        assert taken[label] >= min(sizes[label], limited - 1), "one label has less than another, though it has more"
