"""The files of examples that the stage leaves."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jobs.data.examples import Example, as_json, question_text
from jobs.data.ledger import reason
from jobs.data.review import MAX_ROWS, ReviewRow, write_sheet
from jobs.data.rules import CODES
from jobs.data.table import Side, Table
from jobs.lm.fit import without_oldest
from sftjobs.canonical import canonical

_REVIEWED = ("label_noise", "mismatch", "conflict")
"""Rules that need a person's eye most: they come first in the sheet."""


def write_examples(table: Table, side: Side, path: Path) -> None:
    """One example per line."""
    rows = table.kept(side)
    with path.open("wb") as file:
        for row, (example, _) in zip(rows.tolist(), table.examples(rows), strict=True):
            value = as_json(shortened_to_fit(table, row, example), int(table.tokens[row]))
            file.write(canonical(value) + b"\n")


def shortened_to_fit(table: Table, row: int, example: Example) -> Example:
    """The example as it is trained: without the turns that `overlength: truncate` took away; its id stays."""
    removed = int(table.removed_turns[row])
    if not removed:
        return example
    return Example(**{**_fields(example), "messages": without_oldest(example.messages, removed)})


def _fields(example: Example) -> dict[str, object]:
    return {name: getattr(example, name) for name in Example.__slots__}


def write_review(table: Table, path: Path) -> None:
    """The sheet of training examples that a rule marked, those first that need a person's eye most."""
    rows = np.flatnonzero((table["flags"] != 0) & table.is_kept("train"))
    urgent = np.uint64(sum(1 << CODES[rule] for rule in _REVIEWED))
    order = np.argsort((table["flags"][rows] & urgent) == 0, kind="stable")
    write_sheet(_review_rows(table, rows[order][:MAX_ROWS]), path)


def _review_rows(table: Table, rows: np.ndarray) -> Iterator[ReviewRow]:  # type: ignore[type-arg]
    for row, (example, found) in zip(rows.tolist(), table.examples(rows), strict=True):
        flags = table.flagged(row)
        yield ReviewRow(
            id=example.id,
            task=example.task,
            line=example.source.line,
            rule=" ".join(flags),
            reason=reason(table, row, None, flags, found) or "",
            question=question_text(example),
            answer=example.answer,
            suggestion=table.suggestions.get(row, ""),
        )
