"""Macro F1 of two models on the same examples, by counts of (expected, said before, said after) triples.

Shapes: T distinct triples, L labels that occur among the expected answers, draws x T counts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jobs.eval.statistics.base import BLOCK, Counts, Floats, flips, p_of

Triple = tuple[str, str, str]
"""Expected label, label said before, label said after."""


@dataclass(frozen=True)
class MacroF1:
    """Macro F1 of both: mean over labels of 2 right / (expected + said), over the labels that are expected."""

    triples: Sequence[Triple]
    """One per example."""

    @cached_property
    def counts(self) -> Counts:
        """How often each distinct triple occurs, (T,)."""
        return np.array([self._counted[triple] for triple in self._distinct])

    @cached_property
    def difference(self) -> float:
        before, after = self._values(self.counts[None].astype(np.float64))
        return float(after[0] - before[0])

    @cached_property
    def values(self) -> tuple[float, float]:
        """Macro F1 before and after."""
        before, after = self._values(self.counts[None].astype(np.float64))
        return float(before[0]), float(after[0])

    @cached_property
    def contributions(self) -> Floats:
        """What each example adds to the difference: jackknife pseudo-values, shifted so that their mean is it, (n,).

        Their mean has the error of the difference (Efron and Tibshirani 1993, chapter 11), so that what holds for the
        mean of numbers holds for macro F1. Drawing examples and computing macro F1 anew covers too little: 77 % instead
        of 95 % for 200 examples of which 99 % are right.
        """
        n = len(self.triples)
        if n < 2:
            return np.full(n, self.difference)
        size = len(self.counts)
        step = max(1, BLOCK // size)
        without = []
        for start in range(0, size, step):
            left = np.tile(self.counts.astype(np.float64), (min(step, size - start), 1))
            left[np.arange(len(left)), np.arange(start, start + len(left))] -= 1
            before, after = self._values(left)
            without.append(after - before)
        pseudo = n * self.difference - (n - 1) * np.concatenate(without)
        place = {triple: index for index, triple in enumerate(self._distinct)}
        spread = pseudo[[place[triple] for triple in self.triples]]
        return spread - spread.mean() + self.difference

    def permutation(self, draws: int, seed: int) -> float:
        """Two-sided p: under the null the two models of an example can be swapped."""
        differ = np.array([before != after for _, before, after in self._distinct])
        if not differ.any():
            return 1.0
        seen = abs(self.difference) - 1e-12
        counts = np.where(differ, self.counts, 0)
        kept = self.counts.astype(np.float64)
        as_extreme = 0
        for swapped in flips(counts, draws, np.random.default_rng(seed)):
            before, after = self._mixed(kept - swapped, swapped)
            as_extreme += int(np.count_nonzero(np.abs(after - before) >= seen))
        return p_of(as_extreme, draws)

    @cached_property
    def _counted(self) -> Counter[Triple]:
        return Counter(self.triples)

    @cached_property
    def _distinct(self) -> list[Triple]:
        return sorted(self._counted)

    @cached_property
    def _indicators(self) -> tuple[Floats, Floats, Floats]:
        """Whether a triple expects each label, says it before, says it after: each (T, L)."""
        labels = sorted({triple[0] for triple in self._distinct})
        columns = [[[triple[part] == label for label in labels] for triple in self._distinct] for part in range(3)]
        expected, before, after = (np.array(column, dtype=np.float64) for column in columns)
        return expected, before, after

    def _values(self, counts: Floats) -> tuple[Floats, Floats]:
        """Macro F1 before and after, for counts of triples (draws, T): each (draws,)."""
        expected, before, after = self._indicators
        there = counts @ expected
        return (
            _mean_f1(there, counts @ before, counts @ (expected * before)),
            _mean_f1(there, counts @ after, counts @ (expected * after)),
        )

    def _mixed(self, kept: Floats, swapped: Floats) -> tuple[Floats, Floats]:
        """As `_values`, with the two models of `swapped` examples of each triple exchanged."""
        expected, before, after = self._indicators
        there = (kept + swapped) @ expected
        said = kept @ before + swapped @ after, kept @ after + swapped @ before
        both = expected * before, expected * after
        right = kept @ both[0] + swapped @ both[1], kept @ both[1] + swapped @ both[0]
        return _mean_f1(there, said[0], right[0]), _mean_f1(there, said[1], right[1])


def _mean_f1(there: Floats, said: Floats, right: Floats) -> Floats:
    """Mean over the labels that are there; each (draws, L)."""
    f1 = np.divide(2 * right, there + said, out=np.zeros_like(right), where=there > 0)
    return f1.sum(axis=1) / np.maximum((there > 0).sum(axis=1), 1)
