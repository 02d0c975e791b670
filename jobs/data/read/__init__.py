"""Records of any source, streamed: cut into blocks here, parsed wherever there is time for it.

What cannot be read is reported with its place, and reading goes on behind it where that is possible.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from jobs.data.problems import DataProblem, Report
from jobs.data.read import arrow, json_list, jsonl, table
from jobs.data.read.arrow import Rows
from jobs.data.read.jsonl import JsonLines
from jobs.data.read.records import Record, SourceFile, file_digest, missing_column
from jobs.data.read.sample import Sampled, sample
from sftjobs.spec.formats import SUFFIXES, format_of
from sftjobs.spec.words import listed

__all__ = [
    "Block", "Record", "Sampled", "SourceFile", "blocks", "file_digest", "missing_column", "no_record", "parse",
    "read_records", "sample_blocks",
]  # fmt: skip

_TOGETHER = 1000


@dataclass(frozen=True)
class Parsed:
    """Records of a format that cannot be cut before it is parsed."""

    records: list[Record]


@dataclass(frozen=True)
class Later:
    """A block of a later file of a folder: its rows are counted on."""

    block: "JsonLines | Rows | Parsed"
    before: int
    """Records in the files before it."""


Block = JsonLines | Rows | Parsed | Later


def blocks(file: SourceFile, report: Report) -> Iterator[Block]:
    """The source in pieces that can be sent to another process; reports what cannot be read at all."""
    if file.path.is_dir():
        yield from _folder(file, report)
        return
    if file.path.stat().st_size == 0:
        report(DataProblem("file", file.name, None, None, "the file is empty"))
        return
    kind = format_of(file.path.name) if file.format in ("auto", "folder") else file.format
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
        return (replace(record, line=record.line + block.before) for record in parse(block.block, report))
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
    """About so many records: spread over a large file of JSON Lines, the first ones of another source."""
    kind = format_of(file.path.name) if file.format == "auto" else file.format
    plain = kind == "jsonl" and not file.path.is_dir() and not file.path.name.endswith((".gz", ".zst"))
    if plain and file.encoding == "utf-8" and file.path.stat().st_size:
        return sample(file, records, lambda: blocks(file, report))
    sampled = Sampled(iter(()))
    sampled.blocks = _head(file, records, report, sampled)
    return sampled


def _head(file: SourceFile, records: int, report: Report, sampled: Sampled) -> Iterator[Block]:
    """Blocks with the first records; they are parsed here to count them."""
    left = records
    for block in blocks(file, report):
        if left <= 0:
            sampled.note = f"only the first {records:,} records of {file.name} were read"
            return
        part = list(islice(parse(block, report), left))
        left -= len(part)
        yield Parsed(part)


def _together(records: Iterator[Record]) -> Iterator[Parsed]:
    while part := list(islice(records, _TOGETHER)):
        yield Parsed(part)


def _folder(file: SourceFile, report: Report) -> Iterator[Block]:
    before = 0
    for one in arrow.folder_files(file, report):
        counted = 0
        for block in blocks(one, report):
            counted += _length(block)
            yield Later(block, before) if before and not isinstance(block, Later) else block
        before += counted


def _length(block: Block) -> int:
    """Lines or rows of a block."""
    if isinstance(block, JsonLines):
        return len(block.data.splitlines())
    return block.batch.num_rows if isinstance(block, Rows) else len(block.records) if isinstance(block, Parsed) else 0
