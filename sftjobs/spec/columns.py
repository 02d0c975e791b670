"""The columns of a data file, from its first record: enough to see that prompt and data fit together."""

import csv
import gzip
import io
import json
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from sftjobs.errors import DataError
from sftjobs.spec.data import SourceFormat
from sftjobs.spec.words import shortened

MAX_RECORD_BYTES = 16 * 2**20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
"""First bytes of compressed files, with which no text in UTF-8 begins."""


def output_column(wanted: str | None, output_format: str) -> str:
    """Column with the expected answer: as configured, else `label` for labels and `output` for all other formats."""
    return wanted or ("label" if output_format == "label" else "output")


def first_columns(path: Path, form: SourceFormat, encoding: str = "utf-8") -> list[str] | None:
    """Columns of the first record of JSON Lines, or of the header of CSV or TSV, also with .gz.

    None if they cannot be known here: of other formats and encodings, which need libraries of the data stage.
    Raises DataError, without the file's name, if there is no such record; OSError if the file cannot be read.
    """
    with path.open("rb") as raw:
        start = raw.read(4)
    if not start:
        raise DataError("the file is empty")
    name = path.name.lower()
    if encoding != "utf-8" or form not in ("jsonl", "csv", "tsv") or name.endswith(".zst") or start == _ZSTD:
        return None
    try:
        with gzip.open(path) if name.endswith(".gz") or start.startswith(_GZIP) else path.open("rb") as opened:
            file = cast(BinaryIO, opened)
            return _of_jsonl(file) if form == "jsonl" else _of_table(file, "," if form == "csv" else "\t")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"not a gzip file, or a damaged one: {error}") from None


def _of_jsonl(file: BinaryIO) -> list[str]:
    for number, line in enumerate(iter(lambda: file.readline(MAX_RECORD_BYTES), b""), start=1):
        if line.strip(b"\xef\xbb\xbf \t\r\n"):
            return _of_line(line, number)
    raise DataError("the file has no record, only empty lines")


def _of_line(line: bytes, number: int) -> list[str]:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"line {number}: byte 0x{line[error.start]:02x} is not UTF-8") from None
    except json.JSONDecodeError as error:
        hint = "; a .jsonl file has one {...} per line" if line.lstrip()[:1] in b"[{" else ""
        raise DataError(f"line {number}, column {error.colno}: not JSON: {error.msg}{hint}") from None
    except (ValueError, RecursionError):
        raise DataError(f"line {number}: not JSON that can be read") from None
    if not isinstance(record, dict):
        found = "a list" if isinstance(record, list) else f"'{shortened(str(record), 20)}'"
        raise DataError(f"line {number}: a record is one {{...}} per line, and this is {found}")
    return list(record)


def _of_table(file: BinaryIO, delimiter: str) -> list[str]:
    head = file.read(MAX_RECORD_BYTES)
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # else only the cut through the last character
            line = head.count(b"\n", 0, error.start) + 1
            raise DataError(f"line {line}: byte 0x{head[error.start]:02x} is not UTF-8") from None
        text = head[: error.start].decode("utf-8-sig")
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = next((row for row in rows if row), None)
    except csv.Error as error:
        raise DataError(f"line 1: not CSV: {error}") from None
    if header is None:
        raise DataError("the file has no header line")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"line 1: the header has the column {twice[0]!r} twice")
    return header
