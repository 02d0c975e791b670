"""Which examples are held out, which are the dev set: whole groups of near-duplicates, by the first question of each.

A side depends on nothing but seed and content of the first record of the group: it stays when records are added.
"""

import hashlib

import numpy as np

from jobs.data.likeness import Likeness
from jobs.data.table import SIDES, Table


def chance(seed: int, text: str) -> float:
    """A number in [0, 1) that depends on nothing but seed and text: the same when data is added or reordered."""
    head = hashlib.sha256(f"{seed}:{text}".encode()).digest()[:8]
    return int.from_bytes(head, "big") / 2**64


def set_aside(
    table: Table, likeness: Likeness, held_out: float | None, dev: float | None, seed: int, general: str
) -> None:
    """Move about `held_out` and `dev` (shares) of the tasks' training examples to those sides."""
    rows = np.flatnonzero(table.of("train") & ~table.of(task=general))
    leaders = likeness.cluster[rows]
    drawn = {leader: _side(table, leader, held_out or 0.0, dev or 0.0, seed) for leader in np.unique(leaders).tolist()}
    table["side"][rows] = [drawn[leader] for leader in leaders.tolist()]


def _side(table: Table, leader: int, held_out: float, dev: float, seed: int) -> int:
    question = table["question"][leader].ljust(32, b"\0").hex()
    if held_out and chance(seed, question) < held_out:
        return SIDES.index("held_out")
    if dev and chance(seed, f"dev:{question}") < dev:
        return SIDES.index("dev")
    return SIDES.index("train")
