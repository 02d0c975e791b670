"""Read all sources into a table of examples; every mistake is collected, every record counted."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from jobs.data.helpers import Helpers, InputFile
from jobs.data.ledger import BadRecord
from jobs.data.names import GENERAL, HELD_OUT
from jobs.data.pool import Workers
from jobs.data.problems import DataProblem, Problems, Report
from jobs.data.read import Block, Sampled, SourceFile, blocks, no_record, parse, sample_blocks
from jobs.data.shapes import Shape, ShapeError, shape_of, value_at
from jobs.data.spool import Spool, SpoolWriter
from jobs.data.table import Side, Table, concatenate
from jobs.data.work import OpenSource, Piece, Result, Setup
from sftjobs.errors import DataError
from sftjobs.plan.configs import DataConfig, SourceConfig
from sftjobs.spec.template import placeholders
from sftjobs.spec.words import shortened

_NEVER_SKIPPED = ("file", "label", "answer")
"""Kinds of problems: records of the file are missing, or a rule with the action `stop` has found something."""
_SHAPE_RECORDS = 100
"""Records of a source that its shape is told by."""
_MANY_BYTES = 2**23
"""Input from which more than one process is worth its start."""

Progress = Callable[[str, int, int | None], None]
"""Phase, how many, of how many (None: not known)."""


@dataclass(frozen=True)
class Reading:
    """How to read."""

    processes: int = 1
    sample: int | None = None
    """Read about so many records of each source, spread over it; None: all."""


@dataclass(frozen=True)
class Gathered:
    """All that was read."""

    table: Table
    sources: list[OpenSource]
    bad: list[BadRecord]
    """Records that were skipped."""
    notes: list[str]
    """What was only sampled."""


@contextmanager
def gathered(
    config: DataConfig,
    files: Mapping[str, InputFile],
    helpers: Helpers,
    problems: Problems,
    progress: Progress,
    reading: Reading = Reading(),
) -> Iterator[Gathered]:
    """All records, in the order of tasks by name, general, held-out, and in the order of each source.

    `files` is by input name. The texts lie in a temporary file while the context is open.
    """
    with tempfile.TemporaryDirectory(prefix="sftjobs-data-") as folder:
        found = _gather(config, files, helpers, problems, progress, reading, Path(folder) / "examples.jsonl")
        _note_same_ids(found, config, problems)
        yield found
        found.table.spool.close()


def _gather(
    config: DataConfig,
    files: Mapping[str, InputFile],
    helpers: Helpers,
    problems: Problems,
    progress: Progress,
    reading: Reading,
    path: Path,
) -> Gathered:
    notes = _Notes(config, problems)
    opened, streams = _open_all(config, files, notes, reading)
    tasks = list(dict.fromkeys(source.task for source in opened))
    setup = Setup(config, opened, tasks, helpers.special_tokens, helpers.flagged_words, dict(helpers.corrections))
    chunks, records = [], 0
    many = sum(_size(files[source.config.input].path) for source in opened) > _MANY_BYTES
    workers: Workers[Piece, Result]
    processes = reading.processes if many and reading.sample is None else 1
    with Workers(setup, processes) as workers, SpoolWriter(path) as writer:
        for result in workers.map(chain.from_iterable(streams)):
            result.chunk.columns["offset"] += writer.append(result.chunk.lines)
            result.chunk.lines = b""
            chunks.append(result.chunk)
            records += len(result.chunk.columns["line"])
            for problem in result.problems:
                notes.add(opened[result.source], problem)
            progress("read", records, None)
    progress("read", records, records)
    table = concatenate(chunks, Spool(path), tasks, list(config.ordered_prompt.labels))
    _note_empty(table, opened, config, notes)
    return Gathered(table, opened, notes.bad, [one.note for one in notes.sampled if one.note])


def _note_empty(table: Table, opened: Sequence[OpenSource], config: DataConfig, notes: "_Notes") -> None:
    """A source of which nothing was read and nothing was said."""
    for index, source in enumerate(opened):
        if source.config.input not in notes.found and not (table["source"] == index).any():
            file = SourceFile(Path(source.name), source.name, source.config.format)
            notes.add(source, no_record(file))


class _Notes:
    """What is done about records that cannot be read: a list of them, or they are skipped up to a limit."""

    def __init__(self, config: DataConfig, problems: Problems, already: int = 0) -> None:
        """`already`: records that were skipped before."""
        self._skip = config.on_bad_record == "skip"
        self._most = config.max_bad_records
        self._already = already
        self._problems = problems
        self.bad: list[BadRecord] = []
        self.sampled: list[Sampled] = []
        self.found: set[str] = set()
        """Sources about which there is something to say."""

    def add(self, source: OpenSource, problem: DataProblem) -> None:
        """Raises DataError beyond the limit."""
        self.found.add(source.config.input)
        if not self._skip or problem.line is None or problem.kind in _NEVER_SKIPPED:
            self._problems.add(problem)
            return
        self.bad.append(BadRecord(source.task, source.digest, problem.line, source.side, problem.message))
        if len(self.bad) + self._already > self._most:
            raise DataError(
                f"{problem}\nMore than data.max_bad_records ({self._most:,}) records cannot be read; this is one too "
                "many to skip. Mend the source, or raise the limit"
            )

    def of(self, source: OpenSource) -> Report:
        """For a reader."""
        return lambda problem: self.add(source, problem)


def _open_all(
    config: DataConfig, files: Mapping[str, InputFile], notes: _Notes, reading: Reading
) -> tuple[list[OpenSource], list[Iterator[Piece]]]:
    """What is known of each source before its records are made examples, and its pieces."""
    opened: list[OpenSource] = []
    streams: list[Iterator[Piece]] = []
    for task, source, side in sources(config):
        given = files[source.input]
        file = SourceFile(given.path, given.name, source.format, source.encoding, source.split)
        one = OpenSource(task, source, side, given.name, given.digest, "columns", task == GENERAL)
        report = notes.of(one)
        if reading.sample is None:
            found = blocks(file, report)
        else:
            sampled = sample_blocks(file, report, reading.sample)
            found = sampled.blocks
            notes.sampled.append(sampled)
        first = next(found, None)
        if first is None and source.input not in notes.found:
            report(no_record(file))
        shape = None if first is None else _shape(first, source, config, given.name, report)
        if first is None or shape is None:
            continue
        opened.append(replace(one, shape=shape))
        streams.append(_pieces(len(opened) - 1, chain([first], found)))
    return opened, streams


def _pieces(index: int, found: Iterator[Block]) -> Iterator[Piece]:
    return (Piece(index, block) for block in found)


def _shape(block: Block, source: SourceConfig, config: DataConfig, name: str, report: Report) -> Shape | None:
    """The shape of a source's records; None, and a problem, if it cannot be told."""
    if source.shape != "auto":
        return source.shape
    records = [record.values for record in islice(parse(block, lambda _: None), _SHAPE_RECORDS)]
    if not records:
        return "columns"  # only lines that cannot be read: parsing them again says what is wrong
    wanted = [source.columns.inputs.get(one, one) for one in placeholders(config.prompt.input)]
    if source.columns.messages is None and any(all(_has(one, column) for column in wanted) for one in records):
        return "messages" if records[0].get("messages") is not None and len(records) == 1 else "columns"
    try:
        found = shape_of(records[0]) if source.columns.messages is None else "messages"
    except ShapeError as error:
        report(DataProblem(error.kind, name, None, None, str(error)))
        return None
    return found


def _has(values: Mapping[str, Any], column: str) -> bool:
    return value_at(values, column)[0]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def _note_same_ids(found: "Gathered", config: DataConfig, problems: Problems) -> None:
    """Two records of one source with one id: one of them is not what somebody thinks."""
    table, notes = found.table, _Notes(config, problems, len(found.bad))
    rows = np.flatnonzero(table["user_id"])
    keys = np.stack([table["source"][rows].astype(np.uint64), table["user_id"][rows]], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    before = rows[first[inverse.reshape(-1)]]
    again = before != rows
    table.drop(rows[again], "same_id", before[again])
    for row, earlier in zip(rows[again].tolist(), before[again].tolist(), strict=True):
        source = found.sources[table["source"][row]]
        user_id = shortened(table.example(row).user_id or "")
        line = int(table["line"][earlier])
        message = f"id {user_id!r} is that of line {line:,} too; make the ids unique or leave columns.id out"
        notes.add(source, DataProblem("id", source.name, int(table["line"][row]), None, message))


def sources(config: DataConfig) -> list[tuple[str, SourceConfig, Side]]:
    """Task, source and side of every source. By name: the order in run.yaml does not change the result."""
    found: list[tuple[str, SourceConfig, Side]] = [(task, config.tasks[task], "train") for task in sorted(config.tasks)]
    if config.general is not None:
        found.append((GENERAL, config.general, "train"))
    if config.held_out is not None:
        only = next(iter(config.tasks)) if len(config.tasks) == 1 else HELD_OUT
        found.append((only, config.held_out, "held_out"))
    found += [(task, config.held_out_tasks[task], "held_out") for task in sorted(config.held_out_tasks)]
    return found
