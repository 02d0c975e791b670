"""From candidates to what is certain: exact similarity, groups of what is connected, groups of conflicting answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jobs.data.near.shingles import shingles

Array = np.ndarray[Any, Any]
_BATCH = 50_000


def verify(pairs: Array, texts: Callable[[Array], list[str]], threshold: float) -> Array:
    """The pairs whose shingle sets have a Jaccard similarity of at least `threshold`.

    `texts` gives the texts of rows (ascending). Only those of one batch of pairs are in memory.
    """
    kept = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        rows = np.unique(batch)
        sets = dict(zip(rows.tolist(), map(shingles, texts(rows)), strict=True))
        alike = [_alike(sets[a], sets[b], threshold) for a, b in batch.tolist()]
        kept.append(batch[np.array(alike, bool)])
    return np.concatenate(kept)


def _alike(one: set[str], other: set[str], threshold: float) -> bool:
    if min(len(one), len(other)) < threshold * max(len(one), len(other)):
        return False  # even if the smaller were a part of the larger
    shared = len(one & other)
    return shared >= threshold * (len(one) + len(other) - shared)


def clusters(number: int, pairs: Array) -> Array:
    """int64[number]: the smallest row that each row is connected with, over any number of pairs."""
    ones = np.ones(len(pairs), bool)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(number, number))
    _, labels = connected_components(graph, directed=False)
    first = np.full(labels.max(initial=-1) + 1, number, np.int64)
    np.minimum.at(first, labels, np.arange(number))
    return first[labels]


def conflict_groups(tasks: Array, questions: Array, answers: Array) -> list[Array]:
    """Positions with the same task and question of which not all have the same answer, in the order of the first."""
    if not len(questions):
        return []
    order = np.lexsort((np.arange(len(questions)), questions, tasks))
    new = (questions[order][1:] != questions[order][:-1]) | (tasks[order][1:] != tasks[order][:-1])
    groups = np.split(order, np.flatnonzero(new) + 1)
    found = [group for group in groups if len(group) > 1 and (answers[group] != answers[group[0]]).any()]
    return sorted(found, key=lambda group: int(group[0]))
