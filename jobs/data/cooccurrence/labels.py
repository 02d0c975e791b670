"""Label noise by association of terms and labels (NPMI: Bouma 2009, "Normalized (pointwise) mutual information in
collocation extraction").
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil

import numpy as np

from jobs.data.cooccurrence.terms import Array, term_matrix

LEAST = 3
"""Texts that a term stands in at least."""
_BLOCK = 20_000


@dataclass(frozen=True)
class LabelMargins:
    """How well each label fits the words of its question."""

    margin: Array
    """float64[n]: mean NPMI of the terms with the own label, less the largest such mean of another label. NaN if none
    of the terms is frequent enough."""
    suggestion: Array
    """int64[n]: the label with the largest mean; the own label counts too."""

    def lowest(self, share: float) -> Array:
        """Positions with a negative margin, at most `share` of all, the lowest first."""
        order = np.argsort(np.where(np.isnan(self.margin), np.inf, self.margin), kind="stable")
        order = order[: ceil(share * len(order))]
        return order[self.margin[order] < 0]


def npmi(joint: Array) -> Array:
    """NPMI of terms and labels from counts [terms, labels], with 1 added to each.

    log(p(w, y) / (p(w) p(y))) / -log p(w, y)
    """
    smoothed = joint + 1.0
    p = smoothed / smoothed.sum()
    return np.log(p / (p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True))) / -np.log(p)


def label_margins(texts: Callable[[], Iterable[str]], labels: Array, number: int) -> LabelMargins:
    """Margins of texts with the labels 0 to `number` - 1.

    Each text is judged by the others: its own share is taken out of the counts of its label, for a wrong label speaks
    for itself otherwise.
    """
    matrix = term_matrix(texts(), LEAST)
    if not matrix.shape[1]:  # no term is frequent enough
        return LabelMargins(np.full(len(labels), np.nan), np.array(labels, np.int64))
    joint = np.stack([matrix[labels == label].sum(axis=0) for label in range(number)], axis=1)
    values = npmi(joint)
    without = _without_own(joint)
    lengths = np.asarray(matrix.sum(axis=1)).reshape(-1)
    margin, suggestion = np.full(len(labels), np.nan), np.array(labels, np.int64)
    for start in range(0, len(labels), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(labels)))
        rows = rows[lengths[rows] > 0]
        part = matrix[rows]
        means = (part @ values) / lengths[rows, None]
        own = labels[rows]
        at = np.arange(len(rows))
        means[at, own] = np.asarray((part @ without)[at, own]) / lengths[rows]
        others = means.copy()
        others[at, own] = -np.inf
        margin[rows] = means[at, own] - others.max(axis=1, initial=-1.0)
        suggestion[rows] = means.argmax(axis=1)
    return LabelMargins(margin, suggestion)


def _without_own(joint: Array) -> Array:
    """NPMI of each term and label if one text fewer had both; the totals stay."""
    smoothed = joint + 1.0
    total = smoothed.sum()
    p = np.maximum(smoothed - 1.0, 0.5) / total
    word, label = smoothed.sum(axis=1, keepdims=True) / total, smoothed.sum(axis=0, keepdims=True) / total
    return np.log(p / (word * label)) / -np.log(p)
