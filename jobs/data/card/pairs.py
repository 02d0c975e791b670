"""Pairs of records to look at: near-duplicates, boundary examples, and what overlaps the held-out set."""

from typing import Any

import numpy as np

from jobs.data.card.differ import side_by_side
from jobs.data.examples import Example, question_text
from jobs.data.likeness import Likeness
from jobs.data.limits import by_seed
from jobs.data.rules import CODES, KEPT
from jobs.data.table import Array, Table
from sftjobs.spec.words import shortened

SHOWN = 15
_ANSWER = 200
"""Characters of an answer."""
_OVERLAPS = ("held_out_exact", "held_out_ngram", "held_out_near")


def near_duplicates(table: Table, seed: int) -> dict[str, Any]:
    """How many records rule `near_duplicate` dropped or marked, and some of them beside the record that came before."""
    bit = np.uint64(1 << CODES["near_duplicate"])
    mask = (table["rule"] == CODES["near_duplicate"]) | ((table["flags"] & bit) != 0) & (table["rule"] == KEPT)
    return _shown(table, np.flatnonzero(mask), seed)


def overlaps(table: Table, seed: int) -> dict[str, Any]:
    """How many records were dropped because they overlap what is held out, and some of them beside that."""
    return _shown(table, np.flatnonzero(np.isin(table["rule"], [CODES[rule] for rule in _OVERLAPS])), seed)


def boundary_pairs(table: Table, likeness: Likeness, seed: int) -> dict[str, Any]:
    """How many kept examples are boundary examples, and some pairs that ask nearly the same with different answers."""
    pairs = likeness.examples
    left, right = pairs[:, 0], pairs[:, 1]
    kept = table.is_kept()
    shown = kept[left] & kept[right] & (table["task"][left] == table["task"][right])
    shown &= (table["side"][left] == table["side"][right]) & (table["answer"][left] != table["answer"][right])
    shown &= table.boundary[left] & table.boundary[right]
    first = _chosen(table, right[shown], seed)
    partner = dict(zip(right[shown].tolist(), left[shown].tolist(), strict=True))
    rows = [_pair(table, partner[row], row) for row in first.tolist()]
    return {"examples": int((table.boundary & kept).sum()), "shown": rows}


def _shown(table: Table, rows: Array, seed: int) -> dict[str, Any]:
    """Pairs of a record and the one that it was compared with."""
    known = rows[table.related[rows] >= 0]
    chosen = _chosen(table, known, seed)
    return {"examples": len(rows), "shown": [_pair(table, int(table.related[row]), row) for row in chosen.tolist()]}


def _chosen(table: Table, rows: Array, seed: int) -> Array:
    return by_seed(table, np.unique(rows), seed)[:SHOWN]


def _pair(table: Table, left: int, right: int) -> dict[str, Any]:
    """Both records with what differs in their questions; `rule` is what dropped or marked the second."""
    one, other = table.example(left), table.example(right)
    first, second = side_by_side(question_text(one), question_text(other))
    rule = int(table["rule"][right])
    return {
        "task": other.task,
        "rule": None if rule == KEPT else list(CODES)[rule],
        "left": {**_record(one), "question": first},
        "right": {**_record(other), "question": second},
    }


def _record(example: Example) -> dict[str, Any]:
    return {"id": example.id, "line": example.source.line, "answer": shortened(example.answer, _ANSWER)}
