"""Which examples ask nearly the same: pairs that were verified, over all sources and the texts not to overlap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jobs.data.examples import question_text
from jobs.data.near import candidate_pairs, clusters, equal_sets, verify
from jobs.data.table import Array, Table


@dataclass(frozen=True)
class Likeness:
    """Near-duplicate questions. A number from `len(table)` on is a protected text."""

    leader: Array
    """int64[n + protected]: the first row with the same shingles."""
    pairs: Array
    """int64[m, 2]: leaders whose texts are alike, the smaller first."""
    rows: int
    """Rows of the table."""

    @cached_property
    def cluster(self) -> Array:
        """int64[n]: the smallest row that each row is connected with by likenesses, itself if with none."""
        same = np.stack([self.leader[: self.rows], np.arange(self.rows)], axis=1)
        inside = self.pairs[(self.pairs < self.rows).all(axis=1)]
        return clusters(self.rows, np.concatenate([same, inside]))

    @cached_property
    def alike(self) -> dict[int, list[int]]:
        """Leader -> leaders that are like it."""
        found: dict[int, list[int]] = {}
        for a, b in self.pairs.tolist():
            found.setdefault(a, []).append(b)
            found.setdefault(b, []).append(a)
        return found

    @cached_property
    def examples(self) -> Array:
        """int64[k, 2]: pairs of rows of the table to show, one per likeness."""
        inside = self.pairs[(self.pairs < self.rows).all(axis=1)]
        own = self.leader[: self.rows]
        again = np.flatnonzero(own != np.arange(self.rows))
        return np.concatenate([inside, np.stack([own[again], again], axis=1)])


def find(table: Table, protected_bands: Array, protected_texts: Sequence[str], threshold: float) -> Likeness:
    """Pairs with a Jaccard similarity of at least `threshold`, among all rows and protected texts.

    Rows that a rule dropped count: a copy of an example belongs to its side, whatever the rules about it are.
    """
    n = len(table)
    bands = np.concatenate([table.bands, protected_bands]) if n else protected_bands
    leader = equal_sets(bands)

    def texts(wanted: Array) -> list[str]:
        found = _questions(table, wanted[wanted < n])
        return [next(found) if row < n else protected_texts[int(row) - n] for row in wanted]

    distinct = np.flatnonzero(leader == np.arange(len(leader)))
    return Likeness(leader, verify(candidate_pairs(bands, distinct), texts, threshold), n)


def _questions(table: Table, rows: Array) -> Iterator[str]:
    return (question_text(example) for example, _ in table.examples(rows))
