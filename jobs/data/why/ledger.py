"""The ledger as a table, whichever version wrote it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.data.ledger import SCORES

COLUMNS = (
    "id", "user_id", "task", "source", "line", "split", "decision", "rule", "reason", "flags", "related", "boundary",
    "repaired", "language", "question_characters", "answer_characters", "tokens", "supervised_tokens", "removed_turns",
    "label", "difficulty", *SCORES,
)  # fmt: skip
"""Columns of the newest version."""
_FEW_VALUES = ["task", "source", "split", "decision", "rule", "language", "label"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Ledger:
    """One row per record, in the order of reading."""

    table: pa.Table

    @property
    def not_recorded(self) -> list[str]:
        """Columns that the version which wrote it did not have."""
        return [name for name in COLUMNS if name not in self.table.column_names]

    def rows(self, numbers: list[int]) -> list[Row]:
        """Rows with all columns; null where a column was not recorded."""
        empty: Row = dict.fromkeys(COLUMNS)
        return [{**empty, **row} for row in self.table.take(pa.array(numbers, pa.int64())).to_pylist()]

    def where(self, mask: pa.Array) -> list[int]:
        """Numbers of the rows for which a mask holds."""
        found: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
        return found

    def equal(self, column: str, value: Any) -> list[int]:
        """Numbers of the rows with a value."""
        return self.where(pc.equal(self.table[column], value)) if column in self.table.column_names else []


def read(path: Path) -> Ledger:
    """Raises OSError or pyarrow.ArrowInvalid if it is none."""
    return Ledger(pq.read_table(path, read_dictionary=_FEW_VALUES))
