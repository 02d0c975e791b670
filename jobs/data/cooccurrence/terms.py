"""Terms of texts as sparse matrices of zeros and ones."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from jobs.data.near.shingles import is_east_asian, normalised

Array = np.ndarray[Any, Any]


def terms(text: str) -> set[str]:
    """Words, or pairs of neighbouring characters of East Asian text: most Chinese words have two."""
    plain = normalised(text)
    if is_east_asian(plain):
        joined = plain.replace(" ", "")
        return {a + b for a, b in pairwise(joined)} or {joined}
    return set(plain.split())


def term_matrix(texts: Iterable[str], least: int, most_share: float = 1.0, most: int | None = None) -> csr_array:
    """float64[texts, terms]: 1 where a text has a term, of terms in at least `least` texts and at most a share of them;
    of these only the `most` frequent ones."""
    columns: dict[str, int] = {}
    indices: list[int] = []
    starts = [0]
    for text in texts:
        # sorted: the order of a set changes from process to process, and with it the last digits of sums
        indices += sorted(columns.setdefault(term, len(columns)) for term in sorted(terms(text)))
        starts.append(len(indices))
    shape = (len(starts) - 1, len(columns))
    whole = csr_array((np.ones(len(indices), np.float64), np.array(indices, np.int64), starts), shape=shape)
    frequency = np.bincount(indices, minlength=shape[1])
    wanted = np.flatnonzero((frequency >= least) & (frequency <= most_share * max(1, shape[0])))
    if most is not None and len(wanted) > most:
        wanted = np.sort(wanted[np.argsort(-frequency[wanted], kind="stable")[:most]])
    return whole[:, wanted].tocsr()
