"""Exact similarity, groups, and questions with several answers."""

import numpy as np
import pytest

from jobs.data.near import clusters, conflict_groups, pairs, verify

TEXTS = ["a b c d e f", "a b c d e f g", "a b c d x y", "一二三四五六", "一二三四五七"]


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.5, [[0, 1], [3, 4]]), (0.6, [[0, 1], [3, 4]]), (0.61, [[0, 1]]), (5 / 6, [[0, 1]]), (0.84, [])],
)
def test_verify_by_exact_similarity(threshold: float, expected: list[list[int]]) -> None:
    """5 of 6, 3 of 7 and 3 of 5 shingles."""
    found = verify(np.array([[0, 1], [0, 2], [3, 4]]), lambda rows: [TEXTS[i] for i in rows], threshold)
    assert found.tolist() == expected


def test_verify_asks_for_the_texts_of_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_BATCH", 2)
    asked: list[list[int]] = []

    def texts(rows: np.ndarray) -> list[str]:  # type: ignore[type-arg]
        asked.append(rows.tolist())
        return [TEXTS[i] for i in rows]

    assert verify(np.array([[0, 1], [0, 2], [3, 4]]), texts, 0.6).tolist() == [[0, 1], [3, 4]]
    assert asked == [[0, 1, 2], [3, 4]]


def test_verify_of_nothing() -> None:
    assert verify(np.zeros((0, 2), np.int64), lambda rows: [], 0.7).shape == (0, 2)


@pytest.mark.parametrize(
    ("number", "given", "expected"),
    [
        (5, [[1, 3], [3, 4]], [0, 1, 2, 1, 1]),
        (4, [[2, 3], [1, 2], [0, 1]], [0, 0, 0, 0]),
        (3, [], [0, 1, 2]),
        (0, [], []),
    ],
)
def test_clusters_are_numbered_by_their_first_row(number: int, given: list[list[int]], expected: list[int]) -> None:
    assert clusters(number, np.array(given, np.int64).reshape(-1, 2)).tolist() == expected


@pytest.mark.parametrize(
    ("tasks", "questions", "answers", "expected"),
    [
        ([0, 0, 0, 0], ["q", "p", "q", "p"], [1, 2, 3, 2], [[0, 2]]),
        ([0, 1, 0, 1], ["q", "q", "q", "q"], [1, 2, 1, 3], [[1, 3]]),
        ([0, 0, 0], ["q", "q", "q"], [1, 1, 2], [[0, 1, 2]]),
        ([0, 0, 0, 0], ["z", "a", "a", "z"], [1, 2, 3, 4], [[0, 3], [1, 2]]),
        ([], [], [], []),
    ],
)
def test_conflict_groups(tasks: list[int], questions: list[str], answers: list[int], expected: list[list[int]]) -> None:
    found = conflict_groups(np.array(tasks), np.array(questions, "S1"), np.array(answers))
    assert [group.tolist() for group in found] == expected
