"""Columns of a file's first record, as far as they can be known without the libraries of the data stage."""

import gzip
from pathlib import Path

import pytest

from sftjobs.errors import DataError
from sftjobs.spec.columns import first_columns
from sftjobs.spec.data import SourceFormat

JSONL = b'\xef\xbb\xbf\n{"text": "a", "label": "b"}\n'


@pytest.mark.parametrize(
    ("name", "content", "form", "columns"),
    [
        ("d.jsonl", JSONL, "jsonl", ["text", "label"]),
        ("d.jsonl.gz", gzip.compress(JSONL), "jsonl", ["text", "label"]),
        ("D.JSONL.GZ", gzip.compress(JSONL), "jsonl", ["text", "label"]),
        ("d.jsonl", gzip.compress(JSONL), "jsonl", ["text", "label"]),
        ("d.csv", b'\n"text",label\r\na,b\r\n', "csv", ["text", "label"]),
        ("d.tsv", b"text\tlabel\na\tb\n", "tsv", ["text", "label"]),
        ("d.jsonl.zst", b"\x28\xb5\x2f\xfd", "jsonl", None),
        ("d.jsonl", b"\x28\xb5\x2f\xfd", "jsonl", None),
        ("d.parquet", b"PAR1", "parquet", None),
        ("d.json", b"[{}]", "json", None),
    ],
)
def test_columns_are_told_or_not_known(
    name: str, content: bytes, form: SourceFormat, columns: list[str] | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert first_columns(tmp_path / name, form) == columns
    assert first_columns(tmp_path / name, form, "gb18030") is None


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        (b"", "jsonl", "the file is empty"),
        (b"\n \n", "jsonl", "the file has no record, only empty lines"),
        (b'{"a":', "jsonl", "line 1, column 6: not JSON"),
        (b'[{"a": 1},\n', "jsonl", "a .jsonl file has one {...} per line"),
        (b"[1]\n", "jsonl", "line 1: a record is one {...} per line, and this is a list"),
        (b'\n{"a": "\xff"}', "jsonl", "line 2: byte 0xff is not UTF-8"),
        (gzip.compress(JSONL)[:-20], "jsonl", "not a gzip file, or a damaged one"),
        (b"\n", "csv", "the file has no header line"),
        (b"a,b,a\n", "csv", "line 1: the header has the column 'a' twice"),
        (b"a\xff,b\nccccccccc\n", "csv", "line 1: byte 0xff is not UTF-8"),
        (b'"a" b,c\n', "csv", "line 1: not CSV"),
    ],
)
def test_a_file_without_a_first_record(content: bytes, form: SourceFormat, message: str, tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(content)
    with pytest.raises(DataError) as caught:
        first_columns(tmp_path / "d", form)
    assert message in str(caught.value)
