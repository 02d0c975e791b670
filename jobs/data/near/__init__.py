"""Near-duplicates by MinHash and exact Jaccard similarity, overlapping passages, and questions with several answers."""

from jobs.data.near.minhash import bands_of, candidate_pairs, equal_sets
from jobs.data.near.overlap import NGramIndex
from jobs.data.near.pairs import clusters, conflict_groups, verify
from jobs.data.near.shingles import shingles

__all__ = [
    "NGramIndex",
    "bands_of",
    "candidate_pairs",
    "clusters",
    "conflict_groups",
    "equal_sets",
    "shingles",
    "verify",
]
