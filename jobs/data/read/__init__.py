"""Records of any source, streamed: cut into blocks here, parsed wherever there is time for it.

What cannot be read is reported with its place, and reading goes on behind it where that is possible.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from jobs.data.problems import DataProblem, Report
from jobs.data.read import arrow, json_list, jsonl, table
from jobs.data.read.arrow import Rows
from jobs.data.read.bytes import packing_of
from jobs.data.read.encoding import not_text
from jobs.data.read.folder import folder_files
from jobs.data.read.jsonl import JsonLines
from jobs.data.read.records import Record, SourceFile, file_digest, missing_column
from jobs.data.read.sample import Sampled, line_count, spread
from sftjobs.spec.formats import SUFFIXES, format_of
from sftjobs.spec.words import listed

__all__ = [
    "Block", "Record", "Sampled", "SourceFile", "blocks", "file_digest", "missing_column", "no_record", "parse",
    "read_records", "sample_blocks",
]  # fmt: skip

_TOGETHER = 1000
SAMPLE_BYTES = 2**23
"""Size of a sample at most."""


@dataclass(frozen=True)
class Parsed:
    """Records of a format that cannot be cut before it is parsed."""

    records: list[Record]


@dataclass(frozen=True)
class Later:
    """A block of a later file of a folder: its rows are counted on."""

    block: "JsonLines | Rows | Parsed"
    name: str
    """What messages call the folder."""
    before: int
    """Lines, rows or elements of the files before it."""


Block = JsonLines | Rows | Parsed | Later


def blocks(file: SourceFile, report: Report) -> Iterator[Block]:
    """The source in pieces that can be sent to another process; reports what cannot be read at all."""
    try:
        if file.path.is_dir():
            yield from _folder(file, report)
        elif file.path.stat().st_size == 0:
            report(DataProblem("file", file.name, None, None, "the file is empty"))
        else:
            yield from _of_format(file, report)
    except (FileNotFoundError, PermissionError) as error:
        report(DataProblem("file", file.name, None, None, f"the file cannot be read: {error.strerror}"))


def _of_format(file: SourceFile, report: Report) -> Iterator[Block]:
    kind = format_of(file.path.name) if file.format in ("auto", "folder") else file.format
    if kind == "json" and file.format != "json" and json_list.holds_lines(file):
        kind = "jsonl"
    if kind == "jsonl":
        yield from jsonl.blocks(file, report)
    elif kind == "parquet":
        yield from arrow.parquet_blocks(file, report)
    elif kind == "arrow":
        yield from arrow.arrow_blocks(file, report)
    elif kind == "json":
        yield from _together(json_list.records(file, report))
    elif kind in ("csv", "tsv"):
        yield from _together(table.records(file, "," if kind == "csv" else "\t", report))
    else:
        known = f"{listed(SUFFIXES, 'and')}, text also with .gz or .zst behind it"
        message = f"the name does not say the format; set `format`, or use one of {known}"
        report(DataProblem("file", file.name, None, None, message))


def parse(block: Block, report: Report) -> Iterator[Record]:
    """The records of a block; what cannot be read is reported."""
    if isinstance(block, JsonLines):
        return jsonl.parse(block, report)
    if isinstance(block, Rows):
        return arrow.parse_rows(block, report)
    if isinstance(block, Later):
        moved = _moved(block.name, block.before, report)
        return (replace(record, line=record.line + block.before) for record in parse(block.block, moved))
    return iter(block.records)


def read_records(file: SourceFile, report: Report) -> Iterator[Record]:
    """Every record that can be read; reports what cannot, and a source without any record."""
    problems = records = 0

    def count(problem: DataProblem) -> None:
        nonlocal problems
        problems += 1
        report(problem)

    for block in blocks(file, count):
        for record in parse(block, count):
            records += 1
            yield record
    if not records and not problems:
        report(no_record(file))


def no_record(file: SourceFile) -> DataProblem:
    """What is said of a source without any record."""
    kind = format_of(file.name) if file.format == "auto" else file.format
    header = "" if kind not in ("csv", "tsv") else ", only a header line"
    lines = ", only empty lines" if kind == "jsonl" else header
    return DataProblem("file", file.name, None, None, f"the file has no record{lines}")


def sample_blocks(file: SourceFile, report: Report, records: int) -> Sampled:
    """About so many records: spread over a large file of JSON Lines, the first ones of another source.

    Fewer if they are long: rules take time by the character.
    """
    total = _countable(file)
    if total:
        records = max(1, min(records, SAMPLE_BYTES * total // file.path.stat().st_size))
    if total is not None and total <= records + records // 4:
        return Sampled(blocks(file, report))
    if total is not None:
        return spread(file, records, total)
    sampled = Sampled(iter(()))
    sampled.blocks = _head(file, records, report, sampled)
    return sampled


def _countable(file: SourceFile) -> int | None:
    """Lines of a file of which any part can be read by itself; None for all others."""
    kind = format_of(file.path.name) if file.format == "auto" else file.format
    if kind != "jsonl" or not file.path.is_file() or file.encoding != "utf-8" or packing_of(file.path) is not None:
        return None
    with file.path.open("rb") as opened:
        start = opened.read(8)
    return line_count(file) if start and not_text(file.name, start) is None else None


def _head(file: SourceFile, records: int, report: Report, sampled: Sampled) -> Iterator[Block]:
    """Blocks with the first records; they are parsed here to count them."""
    left = records
    for block in blocks(file, report):
        found = parse(block, report)
        part = list(islice(found, left))
        left -= len(part)
        if part:
            yield Parsed(part)
        if not left and next(found, None) is not None:
            sampled.note = f"only the first {records:,} records of {file.name} were read"
            return


def _together(records: Iterator[Record]) -> Iterator[Parsed]:
    while part := list(islice(records, _TOGETHER)):
        yield Parsed(part)


def _folder(folder: SourceFile, report: Report) -> Iterator[Block]:
    """The blocks of the files of a folder, as if they were one file."""
    before = 0
    files = folder_files(folder, report)
    for file in files:
        last = 0
        for block in blocks(file, _moved(folder.name, before, report) if len(files) > 1 else report):
            assert not isinstance(block, Later), "a data set's files are no folders"
            last = max(last, _last_line(block))
            yield Later(block, folder.name, before) if len(files) > 1 else block
        before += last


def _moved(folder: str, before: int, report: Report) -> Report:
    """Reports a problem of a file with its line in the whole folder, by which the ledger knows the record."""

    def add(problem: DataProblem) -> None:
        if problem.line is None:
            report(problem)
            return
        message = f"{problem.message} ({problem.file}, line {problem.line:,})"
        report(replace(problem, file=folder, line=problem.line + before, message=message))

    return add


def _last_line(block: JsonLines | Rows | Parsed) -> int:
    if isinstance(block, JsonLines):
        return block.first_line + len(block.data.splitlines()) - 1
    if isinstance(block, Rows):
        return block.first_row + int(block.batch.num_rows) - 1
    return block.records[-1].line
