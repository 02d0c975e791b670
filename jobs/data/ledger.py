"""What became of every record: one entry each, from reading to the Parquet file in the artifact."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.data.examples import Example, question

Side = Literal["train", "held_out"]
Rule = Literal["duplicate", "in_held_out", "too_long", "held_out_max", "max_examples", "not_selected"]
"""Why an example was dropped:

    duplicate       the same task and messages came before
    in_held_out     a training example that asks what a held-out one asks
    too_long        more tokens than `data.max_tokens`
    held_out_max    more held-out examples than `data.held_out.max_examples`
    max_examples    more examples than the task's `max_examples`
    not_selected    left out by `data.select`
"""
RULES: tuple[Rule, ...] = ("duplicate", "in_held_out", "too_long", "held_out_max", "max_examples", "not_selected")


@dataclass(slots=True)
class Entry:
    """An example and what was decided about it."""

    example: Example
    side: Side
    rule: Rule | None = None
    """Rule that dropped it; None if it is kept."""
    ids: "array[int] | None" = None
    """Tokens of the rendered conversation; None if they were not counted."""
    supervised: int | None = None
    """Tokens with loss; None if they were not counted."""
    question: str = field(init=False)

    def __post_init__(self) -> None:
        self.question = question(self.example)

    @property
    def tokens(self) -> int | None:
        return None if self.ids is None else len(self.ids)


def kept(entries: Iterable[Entry], side: Side | None = None, task: str | None = None) -> list[Entry]:
    """Entries that no rule has dropped, of one side and task if they are given."""
    return [
        entry
        for entry in entries
        if entry.rule is None and (side is None or entry.side == side) and (task is None or entry.example.task == task)
    ]


_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("user_id", pa.string()),
        pa.field("task", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("decision", pa.string(), nullable=False),
        pa.field("rule", pa.string()),
        pa.field("tokens", pa.int32()),
        pa.field("supervised_tokens", pa.int32()),
        pa.field("label", pa.string()),
    ]
)


def write_ledger(entries: Sequence[Entry], path: Path) -> None:
    """One row per record in the order of reading. What was not counted is null, never zero."""
    rows = [
        {
            "id": entry.example.id,
            "user_id": entry.example.user_id,
            "task": entry.example.task,
            "source": entry.example.source.digest,
            "line": entry.example.source.line,
            "split": entry.side,
            "decision": "kept" if entry.rule is None else "dropped",
            "rule": entry.rule,
            "tokens": entry.tokens,
            "supervised_tokens": entry.supervised,
            "label": entry.example.label,
        }
        for entry in entries
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path, compression="zstd")
