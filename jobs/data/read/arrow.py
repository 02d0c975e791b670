"""Parquet and Arrow files."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from jobs.data.problems import DataProblem, Report
from jobs.data.read.records import Record, SourceFile

_ROWS = 1000


@dataclass(frozen=True)
class Rows:
    """Some rows of a table."""

    name: str
    first_row: int
    batch: pa.RecordBatch

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: these rows alone. A batch by itself takes along all that it is a slice of."""
        batch = self.batch
        for i, field in enumerate(batch.schema):
            if pa.types.is_dictionary(field.type):
                batch = batch.set_column(i, field.name, batch.column(i).dictionary_decode())
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return _unpacked, (self.name, self.first_row, sink.getvalue().to_pybytes())


def _unpacked(name: str, first_row: int, data: bytes) -> Rows:
    return Rows(name, first_row, pa.ipc.open_stream(data).read_next_batch())


def parquet_blocks(file: SourceFile, report: Report) -> Iterator[Rows]:
    """The rows of a Parquet file."""

    def batches() -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(file.path) as opened:
            yield from opened.iter_batches(batch_size=_ROWS)

    return _numbered(file.name, batches(), "a Parquet", report)


def arrow_blocks(file: SourceFile, report: Report) -> Iterator[Rows]:
    """The rows of an Arrow file, as `datasets` saves them or in the file format."""

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(file.path)) as source:
            try:
                found: Any = pa.ipc.open_stream(source)
            except pa.ArrowInvalid:
                opened = pa.ipc.open_file(source)
                found = (opened.get_batch(i) for i in range(opened.num_record_batches))
            for batch in found:
                yield from (batch.slice(at, _ROWS) for at in range(0, batch.num_rows, _ROWS))

    return _numbered(file.name, batches(), "an Arrow", report)


def _numbered(name: str, batches: Iterator[pa.RecordBatch], kind: str, report: Report) -> Iterator[Rows]:
    row = 1
    try:
        for batch in batches:
            names = batch.schema.names
            twice = [column for column in names if names.count(column) > 1] if row == 1 else []
            if twice:
                message = f"the table has the column {twice[0]!r} twice; rename one"
                report(DataProblem("column", name, None, None, message))
                return
            yield Rows(name, row, batch)
            row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        after = f" after row {row - 1:,}" if row > 1 else ""
        message = f"not {kind} file, or a damaged one{after}: {_first_line(error)}"
        report(DataProblem("file", name, None, None, message))


def parse_rows(block: Rows, report: Report) -> Iterator[Record]:
    """Rows as records of plain values."""
    try:
        rows = block.batch.to_pylist()
    except (ValueError, OverflowError):  # nanoseconds, or years beyond 9999: Python's types have no place for them
        rows = _as_text(block, report)
    simple = all(_is_simple(field.type) for field in block.batch.schema)
    for number, values in enumerate(rows, start=block.first_row):
        if simple:
            yield Record(number, values)
            continue
        try:
            for name, value in values.items():
                values[name] = _plain(value)
        except UnicodeDecodeError:
            message = (
                f"column {name!r} holds bytes that are no UTF-8 text (an image?); leave the column out of the file"
            )
            report(DataProblem("column", block.name, number, None, message))
        else:
            yield Record(number, values)


def _as_text(block: Rows, report: Report) -> list[dict[str, Any]]:
    """Rows of which a column's values are beyond Python's types: nanoseconds as text, as Arrow writes them."""
    columns: dict[str, list[Any]] = {}
    for name, column in zip(block.batch.schema.names, block.batch.columns, strict=True):
        try:
            columns[name] = _values(column)
        except (ValueError, OverflowError, pa.ArrowException) as error:
            message = f"column {name!r} of type {column.type} cannot be read: {_first_line(error)}; leave it out"
            report(DataProblem("column", block.name, None, None, message))
            return []
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(column: pa.Array) -> list[Any]:
    """Raises OverflowError, ArrowException."""
    try:
        found: list[Any] = column.to_pylist()
    except ValueError as error:
        if "anosecond" not in str(error):
            raise
        found = column.cast(pa.string()).to_pylist()
    return found


def _is_simple(kind: pa.DataType) -> bool:
    """Whether Python's values of the type are those of JSON."""
    if pa.types.is_struct(kind):
        return all(_is_simple(field.type) for field in kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_simple(kind.value_type)
    checks = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean,
        pa.types.is_null,
    )  # fmt: skip
    return any(check(kind) for check in checks)


def _plain(value: Any) -> Any:
    """A value as JSON could hold it. Raises UnicodeDecodeError for bytes that are no text."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):  # a map
            return {str(key): _plain(inner) for key, inner in value}
        return [_plain(inner) for inner in value]
    return str(value)  # decimals, dates, times


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
