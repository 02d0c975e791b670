"""Tables of the data stage from examples written by hand."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.data.examples import (
    Example,
    Source,
    earlier_questions,
    make_example,
    question,
    question_text,
    single_turns,
    whole_question,
)
from jobs.data.near import bands_of
from jobs.data.rules import KEPT, NAMES
from jobs.data.spool import Spool, SpoolWriter, encode
from jobs.data.table import LANGUAGES, SIDES, Chunk, Side, Table, columns_of, concatenate
from jobs.data.work import text_hash

LABELS = ["a", "b", "c"]
THRESHOLD = 0.7


@dataclass(frozen=True)
class Row:
    """One example: what is asked, the answer, and where it is."""

    text: str
    answer: str = "a"
    side: Side = "train"
    task: str = "t"
    line: int = 1
    difficulty: str | None = None
    messages: tuple[tuple[str, str], ...] = ()
    """(role, content) of a ready conversation, instead of `text` and `answer`."""

    def example(self) -> Example:
        given = self.messages or (("user", self.text), ("assistant", self.answer))
        messages: list[Any] = [{"role": role, "content": content} for role, content in given]
        label = self.answer if self.answer in LABELS else None
        return make_example(self.task, messages, Source("d", self.line), label, self.difficulty)


def make_table(rows: list[Row], folder: Path) -> Table:
    """The table of `rows`; its spool lies in `folder`."""
    writer = SpoolWriter(folder / "spool.jsonl")
    tasks = list(dict.fromkeys(row.task for row in rows))
    difficulties = list(dict.fromkeys(row.difficulty for row in rows if row.difficulty is not None))
    columns, earlier = [], []
    for i, row in enumerate(rows):
        example = row.example()
        line = encode(example, [])
        columns.append(
            {
                "source": 0,
                "line": row.line,
                "offset": writer.append(line),
                "length": len(line),
                "id": bytes.fromhex(example.id),
                "question": bytes.fromhex(question(example)),
                "whole": bytes.fromhex(whole_question(example)),
                "answer": text_hash(example.answer),
                "user_id": 0,
                "task": tasks.index(row.task),
                "side": SIDES.index(row.side),
                "rule": KEPT,
                "flags": 0,
                "label": LABELS.index(row.answer) if row.answer in LABELS else -1,
                "difficulty": -1 if row.difficulty is None else difficulties.index(row.difficulty),
                "language": LANGUAGES.index("en"),
                "question_characters": len(row.text),
                "answer_characters": len(row.answer),
                "repaired": 0,
                "decided": 0,
            }
        )
        asked = [*earlier_questions(example), *single_turns(example)]
        earlier += [(i, bytes.fromhex(one)) for one in asked]
    writer.close()
    bands = bands_of([question_text(row.example()) for row in rows], THRESHOLD)
    chunk = Chunk(columns_of(columns), b"", bands, earlier, difficulties)
    return concatenate([chunk], Spool(folder / "spool.jsonl"), tasks, LABELS)


def rules(table: Table) -> list[str | None]:
    """The rule that dropped each row."""
    return [None if code == KEPT else NAMES[code] for code in table["rule"].tolist()]


def sides(table: Table) -> list[Side]:
    return [SIDES[code] for code in np.asarray(table["side"]).tolist()]
