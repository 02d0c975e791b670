"""Files that cannot be read: the message names file, line and place, and says the way out."""

from pathlib import Path
from typing import Literal

import pytest

from jobs.data.problems import LIMIT, DataProblem, Problems
from jobs.data.read import Record, SourceFile, read_records
from sftjobs.errors import DataError

GOOD = b'{"text": "a", "label": "x"}\n'


def read(path: Path, content: bytes, form: Literal["jsonl", "csv"] = "jsonl") -> tuple[list[Record], list[str]]:
    path.write_bytes(content)
    problems = Problems()
    records = list(read_records(SourceFile(path, f"data/{path.name}", form), problems.add))
    return records, problems.lines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.jsonl"


def test_records_come_with_their_lines(path: Path) -> None:
    records, problems = read(path, b"\xef\xbb\xbf" + GOOD + b"\n  \n" + '{"text": "余额"}'.encode())
    assert records == [Record(1, {"text": "a", "label": "x"}), Record(4, {"text": "余额"})]
    assert problems == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "data/d.jsonl: the file is empty"),
        (b"\n \n", "data/d.jsonl: the file has no record, only empty lines"),
        (b"\xef\xbb\xbf", "data/d.jsonl: the file has no record, only empty lines"),
    ],
)
def test_file_with_nothing_in_it(path: Path, content: bytes, message: str) -> None:
    assert read(path, content) == ([], [message])


def test_line_cut_in_half_is_named_with_column_and_excerpt(path: Path) -> None:
    records, [problem] = read(path, GOOD + b'{"text": "transfer fifty dollars", "lab')
    assert len(records) == 1
    assert problem.startswith("data/d.jsonl:2:36: not JSON: Unterminated string")
    assert 'fifty dollars", "lab' in problem
    assert "the line ends in the middle of the record" in problem


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b'{"text": "a",, "b": 1}', "d.jsonl:1:14: not JSON: Expecting property name"),
        (b'["a", "b"]', "d.jsonl:1:1: a record is one {...} per line, and this is a list"),
        (b"17", "d.jsonl:1:1: a record is one {...} per line, and this is '17'"),
        (b'[\n{"text": "a"},\n{"text": "b"}]', "this looks like one JSON list"),
        (b"[" * 100_000, "d.jsonl:1: this JSON cannot be read"),
        (b'{"n": ' + b"9" * 5000 + b"}", "d.jsonl:1: this JSON cannot be read"),
    ],
)
def test_line_that_is_no_record(path: Path, line: bytes, part: str) -> None:
    _, problems = read(path, line)
    assert part in problems[0]


def test_broken_utf8_names_line_and_byte(path: Path) -> None:
    records, [problem] = read(path, GOOD + b'{"text": "caf\xe9 au lait"}\n' + GOOD)
    assert [record.line for record in records] == [1, 3], "reading goes on behind it"
    assert problem.startswith("data/d.jsonl:2: byte 0xe9, the 14. of the line, is not UTF-8")
    assert "save the file as UTF-8" in problem


def test_broken_utf8_after_a_byte_order_mark(path: Path) -> None:
    _, [problem] = read(path, b'\xef\xbb\xbf{"a": "\xff"}')
    assert problem.startswith("data/d.jsonl:1: byte 0xff, the 8. of the line, is not UTF-8")


def test_gb18030_is_recognised(path: Path) -> None:
    _, [problem] = read(path, '{"text": "我想查询余额"}\n'.encode("gb18030"))
    assert "it reads as GB18030: say so with `encoding: gb18030` in run.yaml" in problem
    assert "iconv -f GB18030 -t UTF-8 d.jsonl" in problem


def test_utf16_is_recognised(path: Path) -> None:
    _, [problem] = read(path, '{"text": "a"}\n'.encode("utf-16"))
    assert "the file is UTF-16" in problem and "iconv -f UTF-16" in problem


def test_csv_with_a_wrong_number_of_fields(path: Path) -> None:
    records, problems = read(path, b'text,label\na,x\n"two\nlines",x\nb,c,x\nd\n', "csv")
    assert [record.line for record in records] == [2, 3]
    assert problems[0].startswith("data/d.jsonl:5: 3 fields, but the header has 2 columns (text and label)")
    assert "a field with a comma needs quotes" in problems[0]
    assert problems[1].startswith("data/d.jsonl:6: 1 fields")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,label\n", "the file has no record, only a header line"),
        (b"text,text\na,b\n", "d.jsonl:1: the header has the column 'text' twice"),
        (b'text,label\n"a" b,x\n', "d.jsonl:2: not CSV"),
        (b'text,label\na,x\n"open,x\n', "d.jsonl:3: not CSV"),
    ],
)
def test_csv_that_cannot_be_used(path: Path, content: bytes, message: str) -> None:
    _, problems = read(path, content, "csv")
    assert message in problems[-1]


def test_many_problems_are_counted_and_the_first_are_shown(path: Path) -> None:
    path.write_bytes(b"nonsense\n" * (LIMIT + 5))
    problems = Problems()
    list(read_records(SourceFile(path, "d.jsonl", "jsonl"), problems.add))
    problems.add(DataProblem("label", "d.jsonl", 3, None, "another kind"))
    assert problems.total == LIMIT + 6 and len(problems.kept) == LIMIT + 1
    with pytest.raises(DataError) as caught:
        problems.stop_if_any()
    assert str(caught.value).startswith(f"{LIMIT + 6} problems in the data")
    assert "and 5 more of kind json" in str(caught.value)
