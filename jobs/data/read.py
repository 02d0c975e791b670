"""Records of one file, streamed, with the number of the line where each begins. What cannot be read is reported."""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobs.data.encoding import decoded_lines
from jobs.data.problems import DataProblem, Report
from sftjobs.spec.words import listed, nearest, shortened

_AROUND = 30  # characters shown on both sides of a mistake

# A cell may hold a whole document; the default of 128 KiB is too small for that.
csv.field_size_limit(2**27)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One input file of the data stage."""

    path: Path
    name: str
    """How messages call it."""
    format: Literal["jsonl", "csv"]


@dataclass(frozen=True, slots=True)
class Record:
    """One raw record."""

    line: int
    """Where it begins, from 1."""
    values: dict[str, Any]


def file_digest(path: Path) -> str:
    """Hex SHA-256 of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_records(file: SourceFile, report: Report) -> Iterator[Record]:
    """Every record that can be read; reports what cannot, and a file without any record."""
    if file.path.stat().st_size == 0:
        report(DataProblem("file", file.name, None, None, "the file is empty"))
        return
    problems = 0
    records = 0

    def count(problem: DataProblem) -> None:
        nonlocal problems
        problems += 1
        report(problem)

    reader = _read_csv if file.format == "csv" else _read_jsonl
    for record in reader(file, count):
        records += 1
        yield record
    if not records and not problems:
        what = "only a header line" if file.format == "csv" else "only empty lines"
        report(DataProblem("file", file.name, None, None, f"the file has no record, {what}"))


def _read_jsonl(file: SourceFile, report: Report) -> Iterator[Record]:
    for number, text in decoded_lines(file.path, file.name, report):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            report(DataProblem("json", file.name, number, error.colno, _json_message(text, error)))
            continue
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
            report(DataProblem("json", file.name, number, None, f"this JSON cannot be read: {error}"))
            continue
        if isinstance(values, dict):
            yield Record(number, values)
        else:
            what = "a list" if isinstance(values, list) else f"'{shortened(text, 30)}'"
            message = f"a record is one {{...}} per line, and this is {what}"
            report(DataProblem("json", file.name, number, 1, message))


def _json_message(text: str, error: json.JSONDecodeError) -> str:
    start = max(0, error.pos - _AROUND)
    excerpt = shortened(text[start : error.pos + _AROUND], 2 * _AROUND)
    hint = ""
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        hint = "; the line ends in the middle of the record: was the file cut short, or a record spread over lines?"
    if text.lstrip().startswith("["):
        hint = "; this looks like one JSON list: a .jsonl file has one {...} per line (jq -c '.[]' makes one)"
    what = error.msg.removesuffix(" starting at").removesuffix(" at")
    return f"not JSON: {what} at …{excerpt}…{hint}"


def _read_csv(file: SourceFile, report: Report) -> Iterator[Record]:
    rows = csv.reader((text for _, text in decoded_lines(file.path, file.name, report)), strict=True)
    header: list[str] | None = None
    begin = 1
    try:
        for row in rows:
            line, begin = begin, rows.line_num + 1
            if not row:
                continue
            if header is None:
                header = row
                if not _header_is_good(header, file.name, line, report):
                    return
            elif len(row) == len(header):
                yield Record(line, dict(zip(header, row, strict=True)))
            else:
                report(DataProblem("csv", file.name, line, None, _fields_message(row, header)))
    except csv.Error as error:
        message = f"not CSV: {error}; a quote inside a quoted field is written twice"
        report(DataProblem("csv", file.name, begin, None, message))


def _header_is_good(header: list[str], name: str, line: int, report: Report) -> bool:
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        report(DataProblem("csv", name, line, None, f"the header has the column {twice[0]!r} twice; rename one"))
    return not twice


def _fields_message(row: list[str], header: list[str]) -> str:
    hint = "a field with a comma needs quotes" if len(row) > len(header) else "every line needs all columns"
    return f"{len(row)} fields, but the header has {len(header)} columns ({listed(header, 'and')}); {hint}"


def missing_column(wanted: str, values: dict[str, Any]) -> str:
    """What a record has instead of the column `wanted`."""
    known = [str(key) for key in values]
    meant = nearest(wanted, known)
    hint = f", did you mean {meant!r}?" if meant else ""
    return f"no column {wanted!r}{hint} The record has {listed(known, 'and')}" if known else f"no column {wanted!r}"
