"""Candidates for near-duplicates: MinHash signatures in bands (Broder 1997; Leskovec et al., "Mining of Massive
Datasets", section 3.4). Two texts are candidates if all values of one band are equal.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import ceil, log
from typing import Any

import numpy as np
from rensa import RMinHash

from jobs.data.near.shingles import shingles

Array = np.ndarray[Any, Any]
RECALL = 0.995
"""Least probability that a pair of exactly the threshold becomes a candidate."""
_BANDS = 38
"""Most bands: with the set's hash that is 160 bytes a text."""
_PERMUTATIONS = 128
"""Most values of a signature, which is what time goes into."""
_SEED = 42
_ALL_PAIRS = (1000, 300, 100, 30, 10)
"""Texts that share a band, up to which all of them are paired with each other; the first that the budget allows."""
_NEIGHBOURS = 50
_BUDGET = 1_000_000
"""Pairs of one band from which fewer are made."""
MOST = 10_000_000
"""Candidates that are worth an exact comparison."""
_SET = 2
"""Columns of the set's hash, behind the bands."""
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))


def bands_and_rows(threshold: float) -> tuple[int, int]:
    """The most selective number r of values per band that finds a pair at the threshold with probability RECALL.

    With r values in b bands that is 1 - (1 - t^r)^b; b is the smallest that suffices.
    """
    fitting = [(1, 1)]
    for rows in range(1, 17):
        missed = 1 - threshold**rows  # by one band
        bands = 1 if missed == 0 else ceil(log(1 - RECALL) / log(missed))
        if bands <= _BANDS and bands * rows <= _PERMUTATIONS:
            fitting.append((bands, rows))
    return fitting[-1]


def bands_of(texts: Sequence[str], threshold: float) -> Array:
    """uint32[len(texts), bands + 2]: a hash of each band of the signature, then 64 bits of the set of shingles.

    Depends on nothing but each text.
    """
    bands, rows = bands_and_rows(threshold)
    if not texts:
        return np.zeros((0, bands + _SET), np.uint32)
    sets = [sorted(shingles(text)) for text in texts]
    matrix = RMinHash.digest_matrix_from_token_sets(sets, bands * rows, _SEED)
    signatures = np.array(matrix.to_rows(), np.uint64).reshape(len(texts), bands, rows)
    mixed = np.zeros((len(texts), bands), np.uint64)
    for i in range(rows):
        mixed = (mixed ^ signatures[:, :, i]) * _MIX[i % 2]
        mixed ^= mixed >> np.uint64(29)
    whole = b"".join(blake2b("\n".join(one).encode("utf-8", "surrogatepass"), digest_size=8).digest() for one in sets)
    return np.concatenate(
        [(mixed >> np.uint64(32)).astype(np.uint32), np.frombuffer(whole, "<u4").reshape(-1, _SET)], axis=1
    )


def equal_sets(bands: Array) -> Array:
    """int64[n]: for each row the first row with the same set of shingles."""
    if not len(bands):
        return np.zeros(0, np.int64)
    keys = np.ascontiguousarray(bands[:, -_SET:]).view(np.uint64).reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def candidate_pairs(bands: Array, rows: Array) -> Array:
    """int64[m, 2]: pairs of `rows` (of different sets), the smaller first, that share a band; sorted, each once.

    Within a band up to 1,000 rows are all paired; of more, each with the next 50 and the first 50: such a band is a
    phrase that very many texts share, and pairs that are really alike share other bands too. If a band gives millions
    of pairs, these numbers are smaller. Of more than MOST candidates those that share most bands are taken.
    """
    found = [np.zeros(0, np.int64)]
    for column in range(bands.shape[1] - _SET):
        found += _in_band(bands[rows, column], rows)
    keys, shared = np.unique(np.concatenate(found), return_counts=True)
    del found
    if len(keys) > MOST:
        order = np.argsort(-shared.astype(np.int8), kind="stable")  # stable for 8 bits is a radix sort
        keys = np.sort(keys[order[:MOST]])
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)


def _in_band(values: Array, rows: Array) -> list[Array]:
    """Pairs of rows with equal values, each once, as `smaller << 32 | larger`."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    sizes = np.diff(np.append(starts, len(ordered)))
    most, neighbours = _limits(sizes)
    found = []
    for size in np.unique(sizes[sizes > 1]).tolist():
        groups = np.sort(rows[order[starts[sizes == size][:, None] + np.arange(size)]], axis=1)
        left, right = np.triu_indices(size, 1) if size <= most else _links(size, neighbours)
        found.append((groups[:, left].reshape(-1) << 32) | groups[:, right].reshape(-1))
    return found


def _limits(sizes: Array) -> tuple[int, int]:
    """Size of a group up to which all are paired, and neighbours of each row in a larger one."""
    pairs = sizes * (sizes - 1) // 2
    most = next((size for size in _ALL_PAIRS if pairs[sizes <= size].sum() <= _BUDGET), _ALL_PAIRS[-1])
    larger = int(sizes[sizes > most].sum())
    return most, max(1, min(_NEIGHBOURS, _BUDGET // max(1, 2 * larger), most // 2))


def _links(size: int, neighbours: int) -> tuple[Array, Array]:
    """Positions that are paired in a large group: each with the next ones, and with the first ones."""
    at = np.arange(size)
    links = [(at[:-step], at[step:]) for step in range(1, neighbours + 1)]
    links += [(np.full(size - i - neighbours - 1, i), at[i + neighbours + 1 :]) for i in range(neighbours)]
    return np.concatenate([a for a, _ in links]), np.concatenate([b for _, b in links])
