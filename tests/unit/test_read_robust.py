"""Files as people really have them: misnamed, in other encodings, in several parts, with one bad record in many."""

import gzip
import json
import pickle
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.data.problems import DataProblem
from jobs.data.read import Record, SourceFile, blocks, parse, read_records, sample_blocks
from jobs.data.read import json_list as json_list_module

CHINESE = "我想查询一下我的账户余额，然后转账给朋友。"
TRADITIONAL = "我想查詢一下我的帳戶餘額，然後轉帳給朋友。"


def read(path: Path, **more: Any) -> tuple[list[Record], list[DataProblem]]:
    problems: list[DataProblem] = []
    records = list(read_records(SourceFile(path, path.name, **more), problems.append))
    return records, problems


def written(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("text", "coding", "message"),
    [
        (CHINESE, "gb18030", "it reads as GB18030: say so with `encoding: gb18030` in run.yaml"),
        (TRADITIONAL, "big5", "it reads as BIG5: convert it with: iconv -f BIG5 -t UTF-8 d.jsonl > utf8-d.jsonl"),
        ("잔액을 조회하고 싶습니다", "euc_kr", "is not UTF-8; save the file as UTF-8, or remove the line"),
        ("残高を照会したいのですが", "shift_jis", "is not UTF-8; save the file as UTF-8, or remove the line"),
        ("café au lait déjà vu", "latin-1", "is not UTF-8; save the file as UTF-8, or remove the line"),
        (CHINESE, "utf-16", "the file is UTF-16, not UTF-8; say so with `encoding: utf-16` in run.yaml"),
        (CHINESE, "utf-16-le", "the file is UTF-16LE, not UTF-8; convert it with: iconv -f UTF-16LE"),
        (CHINESE, "utf-16-be", "the file is UTF-16BE, not UTF-8; convert it with: iconv -f UTF-16BE"),
        (CHINESE, "utf-32", "the file is UTF-32, not UTF-8; convert it with: iconv -f UTF-32"),
    ],
)
@pytest.mark.parametrize("pack", ["", ".gz"])
def test_another_encoding_is_named_only_if_it_is_told_apart(
    text: str, coding: str, message: str, pack: str, tmp_path: Path
) -> None:
    content = f'{{"text": "{text}"}}\n'.encode(coding)
    records, [problem] = read(written(tmp_path / "d.jsonl", content))
    assert not records and problem.kind == "encoding" and message in problem.message
    packed = written(tmp_path / "d.jsonl.gz", gzip.compress(content))
    assert read(packed)[1][0].message == problem.message.replace("d.jsonl", "d.jsonl.gz")


def test_a_long_file_in_another_encoding_is_looked_at_once(tmp_path: Path) -> None:
    path = written(tmp_path / "d.jsonl", f'{{"text": "{CHINESE}"}}\n'.encode("gb18030") * 30_000)
    begin = time.process_time()
    _, problems = read(path)
    assert len(problems) == 30_000 and problems[-1].line == 30_000
    assert time.process_time() - begin < 5  # a second look at the file for each line would take minutes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1\x15\x04\x15", "this is no text but a Parquet file: name it .parquet"),
        (b"ARROW1\x00\x00\xff", "this is no text but an Arrow file"),
        (b"PK\x03\x04\x14\x00\x06", "an Excel workbook: unpack it, or save the sheet as CSV in UTF-8"),
    ],
)
@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.json"])
def test_a_file_of_another_kind_is_named(content: bytes, message: str, name: str, tmp_path: Path) -> None:
    records, [problem] = read(written(tmp_path / name, content + b"\n"))
    assert not records and message in problem.message


@pytest.mark.parametrize("name", ["d.jsonl", "D.JSONL.GZ", "d.json"])
def test_what_is_compressed_and_what_is_lines_is_seen_in_the_content(name: str, tmp_path: Path) -> None:
    lines = b'{"a": 1}\n\n{"a": 2}\n'
    for content in (gzip.compress(lines), zstandard.compress(lines) if name == "d.jsonl" else gzip.compress(lines)):
        records, problems = read(written(tmp_path / name, content))
        assert not problems
        assert [(record.line, record.values) for record in records] == [(1, {"a": 1}), (3, {"a": 2})]
    if name == "d.json":
        assert "one list of records" in read(tmp_path / name, format="json")[1][0].message, "said so, taken so"


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.floats(allow_nan=False) | st.text()), max_size=6),
    st.sampled_from([None, 1]),
    st.integers(1, 9),
)
@settings(max_examples=150, deadline=None)
def test_a_json_list_is_the_same_in_whatever_pieces_it_comes(
    rows: list[dict[str, Any]], indent: int | None, size: int
) -> None:
    data = json.dumps(rows, ensure_ascii=False, indent=indent).encode("utf-8", "surrogatepass")
    before = json_list_module.chunks, json_list_module._WINDOW
    json_list_module.chunks = lambda *_: (data[i : i + size] for i in range(0, len(data), size))  # type: ignore[assignment,misc]
    json_list_module._WINDOW = 1  # type: ignore[misc]
    try:
        problems: list[DataProblem] = []
        found = [r.values for r in json_list_module.records(SourceFile(Path("x"), "x", "json"), problems.append)]
    finally:
        json_list_module.chunks, json_list_module._WINDOW = before  # type: ignore[misc]
    assert found == rows and not problems


def test_one_bad_row_of_a_table_in_many(tmp_path: Path) -> None:
    rows = [f"text {i},x\n".encode() for i in range(1000)]
    rows[300] = b'"a" b,x\n'
    rows[500] = "caf\xe9,x\n".encode("latin-1")
    rows[700] = b"a,b,c\n"
    rows[900] = b'"two\nlines",x\n'
    records, problems = read(written(tmp_path / "d.csv", b"text,label\n" + b"".join(rows)))
    assert [(problem.kind, problem.line) for problem in problems] == [("csv", 302), ("encoding", 502), ("csv", 702)]
    assert len(records) == 997
    assert records[-1].line == 1002 and records[-1].values == {"text": "text 999", "label": "x"}


def test_bytes_that_are_no_text_end_the_row_where_it_ends(tmp_path: Path) -> None:
    content = b'text,label\n"first\n\xff second",x\nlast,y\n'
    records, [problem] = read(written(tmp_path / "d.csv", content))
    assert [record.line for record in records] == [4], "no half of the row is taken for a row"
    assert problem.line == 3 and "byte 0xff, the 1. of the line" in problem.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text;label\na;b\n", "this header seems to use ';'; save the file with a comma"),
        (b"text\tlabel\na\tb\n", "this header seems to use a tab; set `format: tsv`"),
        (b"\xff,label\na,b\n", "byte 0xff"),
        (b'a,b\n1,2\n"open,3\n4,5\n', "the quotes that open in this row never close"),
    ],
)
def test_a_table_that_cannot_be_used(content: bytes, message: str, tmp_path: Path) -> None:
    _, [problem] = read(written(tmp_path / "d.csv", content))
    assert message in problem.message


def test_times_beyond_pythons_are_text_or_a_problem(tmp_path: Path) -> None:
    pq.write_table(pa.table({"at": pa.array([0, 1_000_000_001], pa.timestamp("ns"))}), tmp_path / "ns.parquet")
    records, problems = read(tmp_path / "ns.parquet")
    assert not problems and records[1].values == {"at": "1970-01-01 00:00:01.000000001"}
    pq.write_table(pa.table({"at": pa.array([2**50], pa.timestamp("s"))}), tmp_path / "far.parquet")
    records, [problem] = read(tmp_path / "far.parquet")
    assert not records and problem.message.startswith("column 'at' of type timestamp[ms] cannot be read")


def test_a_table_with_one_column_twice_is_told_once(tmp_path: Path) -> None:
    table = pa.table([pa.array([1] * 5000), pa.array([2] * 5000)], names=["a", "a"])
    pq.write_table(table, tmp_path / "d.parquet")
    _, [problem] = read(tmp_path / "d.parquet")
    assert "the table has the column 'a' twice" in problem.message


def test_rows_for_another_process_take_only_themselves_along(tmp_path: Path) -> None:
    values = [f"text {i}" for i in range(50_000)]
    table = pa.table({"text": values, "kind": pa.array(["a", "b"] * 25_000).dictionary_encode()})
    with pa.OSFile(str(tmp_path / "d.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    file = SourceFile(tmp_path / "d.arrow", "d.arrow")
    sent = [pickle.dumps(block) for block in blocks(file, pytest.fail)]
    assert max(map(len, sent)) < 60_000, "the file's one batch has 1 MB"
    found = [record for one in sent for record in parse(pickle.loads(one), pytest.fail)]
    assert found == list(read_records(file, pytest.fail)) and len(found) == 50_000


def test_bad_records_of_a_folder_are_placed_in_their_file_and_in_the_whole(tmp_path: Path) -> None:
    for i in range(3):
        written(tmp_path / f"train-{i}.jsonl", '{"n": 1}\n{bad\n\n{"n": 2}\n')
    records, problems = read(tmp_path)
    assert [record.line for record in records] == [1, 4, 5, 8, 9, 12]
    assert [problem.line for problem in problems] == [2, 6, 10]
    assert str(problems[1]).startswith(f"{tmp_path.name}:6:2: not JSON")
    assert problems[1].message.endswith(f"({tmp_path.name}/train-1.jsonl, line 2)")


def test_rows_over_several_lines_in_several_files_have_lines_of_their_own(tmp_path: Path) -> None:
    for i in range(2):
        written(tmp_path / f"train-{i}.csv", 'a\n"1\n2\n3"\n4\n')
    records, _ = read(tmp_path)
    assert len({record.line for record in records}) == 4


def test_parts_of_a_data_set_are_not_thrown_together(tmp_path: Path) -> None:
    for part in ("main", "socratic"):
        for split in ("train", "test"):
            written(tmp_path / part / f"{split}-00000-of-00001.jsonl", f'{{"from": "{part} {split}"}}\n')
    _, [problem] = read(tmp_path)
    assert "it has main/test, main/train, socratic/test and socratic/train: set `split`" in problem.message
    [record], problems = read(tmp_path, split="socratic/train")
    assert record.values == {"from": "socratic train"} and not problems


def test_two_forms_of_the_same_data_are_not_read_both(tmp_path: Path) -> None:
    written(tmp_path / "train.csv", "a\n1\n")
    written(tmp_path / "train.jsonl", '{"a": 1}\n')
    _, [problem] = read(tmp_path)
    assert problem.message == (
        "the same records as csv and jsonl? train.csv and train.jsonl: name the file that is wanted as `path`"
    )


def test_saved_data_sets_with_and_without_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder = tmp_path / split
        written(folder / "state.json", json.dumps({"_data_files": [{"filename": "data-0.arrow"}]}))
        table = pa.table({"of": [split] * 2})
        with pa.ipc.new_stream(folder / "data-0.arrow", table.schema) as writer:
            writer.write_table(table)
    assert [record.values["of"] for record in read(tmp_path / "test")[0]] == ["test", "test"]
    written(tmp_path / "dataset_dict.json", json.dumps({"splits": ["train", "test"]}))
    assert [record.values["of"] for record in read(tmp_path)[0]] == ["train", "train"]
    assert [record.values["of"] for record in read(tmp_path, split="test")[0]] == ["test", "test"]
    (tmp_path / "test" / "data-0.arrow").unlink()
    _, [problem] = read(tmp_path, split="test")
    assert str(problem) == f"{tmp_path.name}/test/data-0.arrow: the file cannot be read: No such file or directory"
    (tmp_path / "dataset_dict.json").write_text("{")
    assert "not a folder of a data set" in read(tmp_path)[1][0].message


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_a_sample_numbers_lines_of_any_end(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.data.read.sample._READ", 7)  # pieces that end within a line end
    lines = [json.dumps({"n": i, "t": "x" * (i % 30)}) for i in range(1, 1001)]
    file = SourceFile(written(tmp_path / "d.jsonl", end.join(lines) + end), "d.jsonl")
    sampled = sample_blocks(file, pytest.fail, 64)
    found = [record for block in sampled.blocks for record in parse(block, pytest.fail)]
    assert len(found) == 64 and all(record.line == record.values["n"] for record in found)
    assert (found[-1].line > 900) == (end != "\r"), "no piece begins behind a lone carriage return"
    assert sampled.note


def test_the_line_behind_one_that_is_too_long_has_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("BLOCK", 4), ("MAX_LINE", 64)):
        monkeypatch.setattr(f"jobs.data.read.lines.{name}", size)
    for end in (b"\n", b"\r\n", b"\r"):
        for chunk in range(1, 40):
            monkeypatch.setattr("jobs.data.read.bytes.CHUNK", chunk)
            content = end.join([b'{"a": 1}', b'{"a": "' + b"x" * 200 + b'"}', b'{"a": 3}', b'{"a": 4}', b""])
            records, [problem] = read(written(tmp_path / "d.jsonl", content))
            assert problem.line == 2 and [r.line for r in records] == [r.values["a"] for r in records] == [1, 3, 4]


def test_a_long_line_of_incompressible_text_is_read_in_linear_time(tmp_path: Path) -> None:
    text = "".join(f"{i * 2654435761 % 2**32:08x}" for i in range(2_000_000))
    packed = zstandard.compress(f'{{"text": "{text}"}}\n'.encode())
    path = written(tmp_path / "d.jsonl.zst", packed)
    begin = time.process_time()
    [record], problems = read(path)
    assert record.values == {"text": text} and not problems
    assert time.process_time() - begin < 2  # copying the whole line for each piece took 10 times as long
