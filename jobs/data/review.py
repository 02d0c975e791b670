"""The review sheet: what rules marked, as a CSV file that a person edits and gives back as `data.corrections`.

    id, task, line, rule, reason, question, answer, suggestion, decision, new_answer, note

`decision` is left empty by the stage; a person writes `keep`, `drop` or `fix` (with `new_answer`). Lines without a
decision mean nothing, so a sheet can be given back half done. The id is that of the example before it was corrected.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from jobs.data.problems import DataProblem, Report
from jobs.data.read.encoding import not_utf8
from jobs.data.read.records import SourceFile
from jobs.data.read.table import text_lines

Decision = Literal["keep", "drop", "fix"]
DECISIONS: tuple[Decision, ...] = ("keep", "drop", "fix")
MAX_ROWS = 10_000
"""Rows of one sheet: more than a person looks at."""


@dataclass(frozen=True)
class Correction:
    """What a person decided about one example."""

    decision: Decision
    answer: str | None = None
    """The right answer, for `fix`."""
    note: str = ""


@dataclass(frozen=True)
class ReviewRow:
    """One line of the sheet."""

    id: str
    task: str
    line: int
    rule: str
    reason: str
    question: str
    answer: str
    suggestion: str = ""
    decision: str = ""
    new_answer: str = ""
    note: str = ""


def write_sheet(rows: Iterable[ReviewRow], path: Path) -> None:
    """The sheet, in UTF-8 with a byte order mark: without it spreadsheet programs show Chinese text as noise."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(ReviewRow)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _harmless(value) for name, value in asdict(row).items()})


def read_sheet(path: Path, name: str, report: Report) -> Mapping[str, Correction]:
    """Id -> decision. Reports lines that say something that cannot be done."""
    corrections: dict[str, Correction] = {}
    lines = csv.DictReader(text_lines(SourceFile(path, name), report))
    try:
        _read(lines, name, corrections, report)
    except UnicodeDecodeError as error:  # Excel saves in the machine's own encoding unless it is told otherwise
        problem = not_utf8(path, name, lines.line_num + 1, error)
        way_out = "save the sheet as CSV UTF-8"
        report(replace(problem, message=f"{problem.message.partition(';')[0]}; {way_out}"))
    return corrections


def _read(lines: "csv.DictReader[str]", name: str, corrections: dict[str, Correction], report: Report) -> None:
    """Note every decision. Raises UnicodeDecodeError."""
    if lines.fieldnames is None or not {"id", "decision"} <= set(lines.fieldnames):
        message = "a review sheet has at least the columns id and decision; an earlier run left one as review.csv"
        report(DataProblem("corrections", name, 1, None, message))
        return
    for row in lines:
        line, id_, decision = lines.line_num, (row["id"] or "").strip(), (row["decision"] or "").strip().lower()
        answer = _original(row.get("new_answer") or "")
        if not decision:
            continue
        problem = _problem(id_, decision, answer, corrections)
        if problem is not None:
            report(DataProblem("corrections", name, line, None, problem))
        else:
            given = answer if decision == "fix" else None
            corrections[id_] = Correction(decision, given, row.get("note") or "")  # type: ignore[arg-type]


def _problem(id_: str, decision: str, answer: str, known: Mapping[str, Correction]) -> str | None:
    if decision not in DECISIONS:
        return f"the decision {decision[:30]!r} is not known; write keep, drop or fix, or leave it empty"
    if not id_:
        return "no id; leave the column id as it was"
    if decision == "fix" and not answer.strip():
        return "fix needs the right answer in the column new_answer"
    if decision != "fix" and answer.strip():
        return f"there is a new_answer, but the decision is {decision}; write fix, or remove the new answer"
    given = Correction(decision, answer if decision == "fix" else None)  # type: ignore[arg-type]
    before = known.get(id_)
    if before is not None and (before.decision, before.answer) != (given.decision, given.answer):
        return f"the id {id_[:12]}... has two different decisions"
    return None


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _harmless(value: object) -> str:
    """Text that a spreadsheet program does not take for a formula (OWASP, CSV injection)."""
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _original(text: str) -> str:
    """The text that `_harmless` made harmless."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
