"""What became of every record, as a Parquet file in the artifact: one row each, in the order of reading."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.data.rules import BY_NAME, KEPT, NAMES
from jobs.data.spool import Finding
from jobs.data.table import LANGUAGES, SIDES, Table

_BATCH = 20_000
_DIGITS = 6  # of scores: the last ones differ between processors, and equal inputs give equal bytes
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),  # null for a record that could not be read
        pa.field("user_id", pa.string()),
        pa.field("task", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # SHA-256 of the input
        pa.field("line", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("decision", pa.string(), nullable=False),  # kept or dropped
        pa.field("rule", pa.string()),  # that dropped it
        pa.field("reason", pa.string()),
        pa.field("flags", pa.list_(pa.string()), nullable=False),  # rules that marked it
        pa.field("related", pa.string()),  # id of the record that the rule compared it with
        pa.field("boundary", pa.bool_(), nullable=False),
        pa.field("repaired", pa.bool_(), nullable=False),
        pa.field("language", pa.string()),
        pa.field("question_characters", pa.int32()),
        pa.field("answer_characters", pa.int32()),
        pa.field("tokens", pa.int32()),
        pa.field("supervised_tokens", pa.int32()),
        pa.field("removed_turns", pa.int32()),
        pa.field("label", pa.string()),
        pa.field("difficulty", pa.string()),
        pa.field("label_margin", pa.float64()),
        pa.field("answer_association", pa.float64()),
    ]
)
SCORES = ("label_margin", "answer_association")


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that was skipped because it could not be read."""

    task: str
    source: str
    line: int
    split: str
    reason: str


def write_ledger(table: Table, sources: Sequence[str], bad: Sequence[BadRecord], path: Path) -> None:
    """One row per record; `sources` are their digests. What was not counted is null, never zero."""
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        for start in range(0, len(table), _BATCH):
            rows = list(_rows(table, np.arange(start, min(start + _BATCH, len(table))), sources))
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
        if bad:
            writer.write_table(pa.Table.from_pylist([_bad_row(one) for one in bad], schema=_SCHEMA))


def _rows(table: Table, rows: np.ndarray, sources: Sequence[str]) -> Iterator[dict[str, Any]]:  # type: ignore[type-arg]
    for row, (example, found) in zip(rows.tolist(), table.examples(rows), strict=True):
        rule = int(table["rule"][row])
        name = None if rule == KEPT else NAMES[rule]
        flags = table.flagged(row)
        yield {
            "id": example.id,
            "user_id": example.user_id,
            "task": example.task,
            "source": sources[table["source"][row]],
            "line": example.source.line,
            "split": SIDES[table["side"][row]],
            "decision": "kept" if name is None else "dropped",
            "rule": name,
            "reason": reason(table, row, name, flags, found),
            "flags": flags,
            "related": id_of(table, int(table.related[row])),
            "boundary": bool(table.boundary[row]),
            "repaired": bool(table["repaired"][row]),
            "language": LANGUAGES[table["language"][row]],
            "question_characters": int(table["question_characters"][row]),
            "answer_characters": int(table["answer_characters"][row]),
            "tokens": _counted(table.tokens[row]),
            "supervised_tokens": _counted(table.supervised[row]),
            "removed_turns": int(table.removed_turns[row]),
            "label": example.label,
            "difficulty": example.difficulty,
            **{name: _score(table, name, row) for name in SCORES},
        }


def reason(table: Table, row: int, rule: str | None, flags: Sequence[str], found: Sequence[Finding]) -> str | None:
    """Why it was dropped, or else why it was marked, in words; None if neither."""
    if rule is not None:
        own = [finding.reason for finding in found if finding.rule == rule]
        return own[0] if own else table.reasons.get(row, {}).get(rule, BY_NAME[rule].meaning)
    reasons = [finding.reason for finding in found if finding.rule in flags]
    reasons += [text for name, text in table.reasons.get(row, {}).items() if name in flags]
    return "; ".join(reasons) or None


def id_of(table: Table, row: int) -> str | None:
    """The id of a row of the table."""
    return None if row < 0 else bytes(table["id"][row]).ljust(32, b"\0").hex()


def _bad_row(bad: BadRecord) -> dict[str, Any]:
    known = {"task": bad.task, "source": bad.source, "line": bad.line, "split": bad.split}
    row: dict[str, Any] = dict.fromkeys(_SCHEMA.names)
    decided = {"decision": "dropped", "rule": "bad_record", "reason": bad.reason, "flags": []}
    return {**row, **known, **decided, "boundary": False, "repaired": False}


def _counted(number: Any) -> int | None:
    return None if number < 0 else int(number)


def _score(table: Table, name: str, row: int) -> float | None:
    column = table.scores.get(name)
    return None if column is None or math.isnan(column[row]) else round(float(column[row]), _DIGITS)
