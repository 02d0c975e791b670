"""Parquet and Arrow files, and folders of a Hugging Face data set."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from jobs.data.problems import DataProblem, Report
from jobs.data.read.records import Record, SourceFile
from sftjobs.spec.formats import format_of
from sftjobs.spec.words import listed

_ROWS = 1000
_SPLIT = re.compile(r"(?:^|[-_./])(train|validation|valid|dev|test)(?=[-_./]|$)")
_SYNONYMS = {"valid": "validation", "dev": "validation"}


@dataclass(frozen=True)
class Rows:
    """Some rows of a table."""

    name: str
    first_row: int
    batch: pa.RecordBatch


def parquet_blocks(file: SourceFile, report: Report) -> Iterator[Rows]:
    """The rows of a Parquet file."""
    try:
        with pq.ParquetFile(file.path) as opened:
            yield from _numbered(file.name, opened.iter_batches(batch_size=_ROWS))
    except (pa.ArrowException, OSError) as error:
        message = f"not a Parquet file, or a damaged one: {_first_line(error)}"
        report(DataProblem("file", file.name, None, None, message))


def arrow_blocks(file: SourceFile, report: Report) -> Iterator[Rows]:
    """The rows of an Arrow file, as `datasets` saves them or in the file format."""
    try:
        with pa.memory_map(str(file.path)) as source:
            try:
                batches: Any = pa.ipc.open_stream(source)
            except pa.ArrowInvalid:
                opened = pa.ipc.open_file(source)
                batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
            small = (batch.slice(at, _ROWS) for batch in batches for at in range(0, batch.num_rows, _ROWS))
            yield from _numbered(file.name, small)
    except (pa.ArrowException, OSError) as error:
        message = f"not an Arrow file, or a damaged one: {_first_line(error)}"
        report(DataProblem("file", file.name, None, None, message))


def _numbered(name: str, batches: Any) -> Iterator[Rows]:
    row = 1
    for batch in batches:
        yield Rows(name, row, batch)
        row += batch.num_rows


def parse_rows(block: Rows, report: Report) -> Iterator[Record]:
    """Rows as records of plain values."""
    twice = [name for name in block.batch.schema.names if block.batch.schema.names.count(name) > 1]
    if twice:
        message = f"the table has the column {twice[0]!r} twice; rename one"
        report(DataProblem("column", block.name, None, None, message))
        return
    simple = all(_is_simple(field.type) for field in block.batch.schema)
    for number, values in enumerate(block.batch.to_pylist(), start=block.first_row):
        if simple:
            yield Record(number, values)
            continue
        try:
            yield Record(number, {name: _plain(value) for name, value in values.items()})
        except UnicodeDecodeError:
            message = "a binary column that is no UTF-8 text (an image?) has no place in a record; leave it out"
            report(DataProblem("column", block.name, number, None, message))


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


def folder_files(file: SourceFile, report: Report) -> list[SourceFile]:
    """The files of the wanted split of a data set, in the order of their names."""
    try:
        return _saved(file, report) or _hub_style(file, report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        report(DataProblem("file", file.name, None, None, f"not a folder of a data set: {error!r}"))
        return []


def _saved(file: SourceFile, report: Report) -> list[SourceFile]:
    """What `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote; empty for other folders."""
    folder = file.path
    splits = folder / "dataset_dict.json"
    if splits.is_file():
        chosen = _choose(file, json.loads(splits.read_text("utf-8"))["splits"], report)
        return [] if chosen is None else _saved(replace(file, path=folder / chosen), report)
    state = folder / "state.json"
    if not state.is_file():
        return []
    names = [entry["filename"] for entry in json.loads(state.read_text("utf-8"))["_data_files"]]
    return [SourceFile(folder / Path(name).name, file.name, "arrow") for name in names]


def _hub_style(file: SourceFile, report: Report) -> list[SourceFile]:
    """Files whose names or folders say their split, as data sets on the hub have them."""
    found: dict[str, list[Path]] = {}
    for path in sorted(path for path in file.path.rglob("*") if path.is_file()):
        relative = path.relative_to(file.path)
        if format_of(path.name) == "auto" or any(part.startswith(".") for part in relative.parts):
            continue
        if path.name in ("dataset_info.json", "dataset_infos.json", "state.json"):
            continue
        said = _SPLIT.findall(relative.as_posix().lower())
        split = _SYNONYMS.get(said[-1], said[-1]) if said else ""
        found.setdefault(split, []).append(path)
    if (file.path / "dataset_dict.json").is_file():
        return []  # the split was reported
    if not found:
        report(DataProblem("file", file.name, None, None, "the folder has no file of a format that can be read"))
        return []
    chosen = (
        "" if list(found) == [""] and file.split is None else _choose(file, [name for name in found if name], report)
    )
    paths = [] if chosen is None else found.get(chosen, [])
    return [SourceFile(path, file.name, format_of(path.name), file.encoding) for path in paths]


def _choose(file: SourceFile, splits: list[str], report: Report) -> str | None:
    """The split that the spec names, or `train`."""
    wanted = file.split or "train"
    wanted = wanted if wanted in splits else _SYNONYMS.get(wanted, wanted)
    if wanted in splits:
        return wanted
    if len(splits) == 1 and file.split is None:
        return splits[0]
    known = f"it has {listed(sorted(splits), 'and')}" if splits else "its files name none"
    message = f"the data set has no split {wanted!r}; {known}: set `split`"
    report(DataProblem("file", file.name, None, None, message))
    return None
