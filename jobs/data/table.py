"""All records as columns of numbers: some 400 bytes each, whatever the length of their texts.

A row is a record in the order of reading. Texts are in the spool; what a rule decides is written here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from jobs.data.examples import Example
from jobs.data.rules import CODES, KEPT, NAMES
from jobs.data.spool import Finding, Spool, decode

Array = np.ndarray[Any, Any]
Side = Literal["train", "held_out", "dev"]
SIDES: tuple[Side, ...] = ("train", "held_out", "dev")
Action = Literal["drop", "flag", "off"]
LANGUAGES = ("zh", "en", "other", "none")
_BATCH = 4096

COLUMNS: dict[str, Any] = {
    "source": np.int16,  # index of the source
    "line": np.int64,
    "offset": np.int64,  # in the spool
    "length": np.int32,
    "id": "S32",  # digest of task and messages
    "question": "S32",  # digest of what is asked, see examples.question
    "whole": "S32",  # the same with the instruction
    "answer": np.uint64,  # hash of the answer
    "user_id": np.uint64,  # hash of the user's own id; 0: none
    "task": np.int16,
    "side": np.int8,
    "rule": np.int8,  # that dropped it; KEPT if none did
    "flags": np.uint64,  # bit i: rule i marked it
    "label": np.int32,  # index in the prompt's labels; -1: none
    "difficulty": np.int32,
    "language": np.int8,  # of the answer
    "question_characters": np.int32,
    "answer_characters": np.int32,
    "repaired": np.int8,  # 1: text was mended or masked
    "decided": np.int8,  # 1: a person said in the review sheet that it stays
}
"""Column -> type, of what is known when an example is made."""


@dataclass
class Chunk:
    """Some records, as a worker makes them: the columns, and the lines of the spool that belong to them."""

    columns: dict[str, Array]
    lines: bytes
    bands: Array
    """MinHash bands of what is asked, one row per record."""
    earlier: list[tuple[int, bytes]]
    """(record in this chunk, question digest) of every assistant's turn before the last."""
    difficulties: list[str]
    """What `difficulty` counts in this chunk."""


@dataclass
class Table:
    """The columns, and what belongs to all records."""

    spool: Spool
    tasks: list[str]
    labels: list[str]
    difficulties: list[str]
    columns: dict[str, Array]
    bands: Array
    """See Chunk."""
    earlier_rows: Array
    earlier: Array
    """S32: question digests of earlier turns; `earlier_rows` says whose."""
    tokens: Array = field(init=False)
    """int32; -1 where they were not counted."""
    supervised: Array = field(init=False)
    removed_turns: Array = field(init=False)
    """int16: turns that `overlength: truncate` took away."""
    shared: Array = field(init=False)
    """int32: tokens in common with one and the same example, at the start."""
    related: Array = field(init=False)
    """int64: row of the record that a rule compared it with; -1: none."""
    boundary: Array = field(init=False)
    """bool: nearly the same question as another with a different answer."""
    scores: dict[str, Array] = field(default_factory=dict)
    """Name -> float64, NaN where there is no score."""
    reasons: dict[int, dict[str, str]] = field(default_factory=dict)
    """Row -> rule -> reason, of rules that look at many records; those of one record are in the spool."""
    suggestions: dict[int, str] = field(default_factory=dict)
    """Row -> answer that a rule thinks right."""

    def __post_init__(self) -> None:
        n = len(self)
        self.tokens = np.full(n, -1, np.int32)
        self.supervised = np.full(n, -1, np.int32)
        self.removed_turns = np.zeros(n, np.int16)
        self.shared = np.zeros(n, np.int32)
        self.related = np.full(n, -1, np.int64)
        self.boundary = np.zeros(n, bool)

    def __len__(self) -> int:
        return len(self.columns["line"])

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def of(self, side: Side | None = None, task: str | None = None) -> Array:
        """Mask of the records of one side and task if they are given; of all without."""
        mask = np.ones(len(self), bool)
        if side is not None:
            mask &= self["side"] == SIDES.index(side)
        if task is not None:
            mask &= self["task"] == self.tasks.index(task) if task in self.tasks else np.zeros(len(self), bool)
        return mask

    def is_kept(self, side: Side | None = None, task: str | None = None) -> Array:
        """Mask of what no rule has dropped."""
        kept: Array = self.of(side, task) & (self["rule"] == KEPT)
        return kept

    def kept(self, side: Side | None = None, task: str | None = None) -> Array:
        """Rows that no rule has dropped, ascending."""
        return np.flatnonzero(self.is_kept(side, task))

    def drop(self, rows: Array, rule: str, related: Array | None = None) -> None:
        """Drop rows that are still kept; `related`: the row that each was compared with."""
        still = self["rule"][rows] == KEPT
        self["rule"][rows[still]] = CODES[rule]
        if related is not None:
            self.related[rows[still]] = related[still]

    def flag(self, rows: Array, rule: str, related: Array | None = None) -> None:
        """Mark rows."""
        self["flags"][rows] |= np.uint64(1 << CODES[rule])
        if related is not None:
            free = self.related[rows] < 0
            self.related[rows[free]] = related[free]

    def apply(self, action: Action, rows: Array, rule: str, related: Array | None = None) -> None:
        """Do with rows what the spec says about a rule."""
        if action == "drop":
            self.drop(rows, rule, related)
        elif action == "flag":
            self.flag(rows, rule, related)

    def note(self, row: int, rule: str, reason: str) -> None:
        """Why a rule dropped or marked a row; the first reason of a rule counts."""
        self.reasons.setdefault(row, {}).setdefault(rule, reason)

    def flagged(self, row: int) -> list[str]:
        """Rules that marked a row."""
        bits = int(self["flags"][row])
        return [name for code, name in enumerate(NAMES) if bits >> code & 1]

    def score(self, name: str) -> Array:
        """A column of scores, NaN at first."""
        return self.scores.setdefault(name, np.full(len(self), np.nan))

    def examples(self, rows: Array) -> Iterator[tuple[Example, list[Finding]]]:
        """What the spool has of rows, in that order."""
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            yield from map(decode, self.spool.lines(self["offset"][part], self["length"][part]))

    def example(self, row: int) -> Example:
        return next(self.examples(np.array([row])))[0]

    def count(self, rows: Array, column: str, names: Sequence[str]) -> dict[str, int]:
        """Name -> rows of it, for a column of indices."""
        numbers = np.bincount(self[column][rows][self[column][rows] >= 0], minlength=len(names))
        return {name: int(number) for name, number in zip(names, numbers, strict=True)}


def concatenate(chunks: Sequence[Chunk], spool: Spool, tasks: list[str], labels: list[str]) -> Table:
    """The table of all chunks, in their order; `offset` is right already."""
    difficulties: dict[str, int] = {}
    earlier_rows: list[int] = []
    earlier: list[bytes] = []
    start = 0
    for chunk in chunks:
        codes = np.array([difficulties.setdefault(text, len(difficulties)) for text in chunk.difficulties], np.int32)
        column = chunk.columns["difficulty"]
        if len(codes):
            chunk.columns["difficulty"] = np.where(column >= 0, codes[column], -1)
        earlier_rows += [start + row for row, _ in chunk.earlier]
        earlier += [text for _, text in chunk.earlier]
        start += len(column)
    return Table(
        spool=spool,
        tasks=tasks,
        labels=labels,
        difficulties=list(difficulties),
        columns={name: _joined([c.columns[name] for c in chunks], dtype) for name, dtype in COLUMNS.items()},
        bands=np.concatenate([chunk.bands for chunk in chunks]) if chunks else np.zeros((0, 1), np.uint64),
        earlier_rows=np.array(earlier_rows, np.int64),
        earlier=np.array(earlier, "S32"),
    )


def _joined(parts: Sequence[Array], dtype: Any) -> Array:
    return np.concatenate([part.astype(dtype, copy=False) for part in parts]) if parts else np.zeros(0, dtype)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """Columns of rows with a value for each."""
    return {name: np.array([row[name] for row in rows], dtype) for name, dtype in COLUMNS.items()}
