"""Answers that fit their question worst, by the scores of the rules `label_noise` and `mismatch`."""

from typing import Any

import numpy as np

from jobs.data.examples import question_text
from jobs.data.ledger import SCORES
from jobs.data.rules import CODES
from jobs.data.table import Table
from sftjobs.spec.words import shortened

SHOWN = 20
_EXCERPT = 300
"""Characters of a text."""
_RULES = ("label_noise", "mismatch")


def suspects(table: Table) -> list[dict[str, Any]]:
    """The worst examples that a rule marked or dropped, each with what the rule thinks right if it says so."""
    bits = np.uint64(sum(1 << CODES[rule] for rule in _RULES))
    hit = ((table["flags"] & bits) != 0) | np.isin(table["rule"], [CODES[rule] for rule in _RULES])
    found: list[dict[str, Any]] = []
    for name in SCORES:
        column = table.scores.get(name)
        if column is not None:
            rows = np.flatnonzero(hit & ~np.isnan(column))
            worst = rows[np.argsort(column[rows], kind="stable")][:SHOWN]
            found += [_suspect(table, int(row), name, float(column[row])) for row in worst]
    return found


def _suspect(table: Table, row: int, name: str, score: float) -> dict[str, Any]:
    example = table.example(row)
    return {
        "id": example.id,
        "task": example.task,
        "line": example.source.line,
        "question": shortened(question_text(example), _EXCERPT),
        "answer": shortened(example.answer, _EXCERPT),
        "suggestion": table.suggestions.get(row),
        "score": name,
        "value": round(score, 4),
    }
