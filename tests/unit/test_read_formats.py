"""Every format: good files give their records, bad ones a message with the place, and memory stays bounded."""

import gzip
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.data.problems import Problems
from jobs.data.read import Record, SourceFile, blocks, parse, read_records, sample_blocks

RECORDS = [{"text": f"问题 {i}, emoji 👩‍👩‍👧 and مرحبا", "n": i, "deep": {"a": [1, None]}} for i in range(25)]


def read(path: Path, **more: Any) -> tuple[list[Record], list[str]]:
    problems = Problems()
    records = list(read_records(SourceFile(path, path.name, **more), problems.add))
    return records, problems.lines()


def lines(records: list[dict[str, Any]], end: str = "\n") -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + end for record in records).encode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("pack", [None, "gz", "zst"])
def test_json_lines(tmp_path: Path, end: str, pack: str | None) -> None:
    data = b"\xef\xbb\xbf" + lines(RECORDS, end)
    path = tmp_path / ("d.jsonl" + (f".{pack}" if pack else ""))
    path.write_bytes({"gz": gzip.compress, "zst": zstandard.compress}.get(pack or "", bytes)(data))
    records, problems = read(path)
    assert not problems
    assert [record.values for record in records] == RECORDS
    assert [record.line for record in records] == list(range(1, 26))


def test_several_frames_of_zstandard(tmp_path: Path) -> None:
    data = b"".join(zstandard.compress(lines([record])) for record in RECORDS)
    (tmp_path / "d.jsonl.zst").write_bytes(data)
    assert [record.values for record in read(tmp_path / "d.jsonl.zst")[0]] == RECORDS


def test_mixed_line_ends_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(b'{"a": 1}\r\n{"a": 2}\r{"a": 3}\n\r\n{"a"\n{"a": "x\xe2\x80\xa8y"}')
    records, [problem] = read(tmp_path / "d.jsonl")
    assert [record.line for record in records] == [1, 2, 3, 6]
    assert records[3].values == {"a": "x\u2028y"}, "a line separator inside a string ends no line"
    assert problem.startswith("d.jsonl:5:5: not JSON")


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"bb"]), max_size=60), st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_blocks_hold_whole_lines_with_their_numbers(parts: list[bytes], size: int) -> None:
    from jobs.data.read import lines as module

    data = b"".join(parts)
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    before = module.BLOCK, module.chunks
    module.BLOCK, module.chunks = 3, lambda *_: iter(pieces)  # type: ignore[assignment]
    try:
        found = list(module.line_blocks(Path("x"), "x", "utf-8", lambda _: None))
    finally:
        module.BLOCK, module.chunks = before  # type: ignore[misc]
    assert b"".join(block for _, block in found) == data
    numbered = [(number + i, line) for number, block in found for i, line in enumerate(block.splitlines())]
    assert numbered == list(enumerate(data.splitlines(), start=1))


def test_a_json_list_is_read_element_by_element(tmp_path: Path) -> None:
    for i, text in enumerate((json.dumps(RECORDS), json.dumps({"version": 2, "data": RECORDS}, indent=2))):
        path = tmp_path / f"{i}.json"
        path.write_text(text)
        records, problems = read(path)
        assert not problems and [record.values for record in records] == RECORDS
        assert [record.line for record in records] == list(range(1, 26))


LONG = json.dumps([{"text": "x" * 300_000} for _ in range(5)])


@pytest.mark.parametrize(
    ("text", "good", "message"),
    [
        ('[{"a": 1}, {"a": 2}', 2, "after element 2 a , or ] is missing: was the file cut short?"),
        ('[{"a": 1}, ', 1, "the file ends after element 1 without the closing ]"),
        ('[{"a": 1}, {"a": tru}]', 1, "element 2: not JSON: Expecting value"),
        ('[{"a": 1}, 5, {"a": 2}]', 2, "element 2 is no record {...}"),
        (LONG[: len(LONG) // 2], 2, "element 3: not JSON: Unterminated string"),
        ('{"a": 1}\n', 0, "for one record per line name it .jsonl"),
        ('[{"a": 1}]\n[{"a": 2}]', 1, "there is more behind the closing ] of the list"),
        ('{"data": [{"a": 1}]', 1, "the file ends behind the list without the closing }"),
        ('{"data" [{"a": 1}]}', 0, "after the key 'data' a : is missing"),
        ('[{"a": 1},\n {"a": 1,\n  oops}]', 1, "d.json:3:3: element 2: not JSON: Expecting property name"),
        ("[]", 0, "the file has no record"),
        ("", 0, "the file is empty"),
    ],
)
def test_a_json_list_that_is_none(text: str, good: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(text)
    records, [problem] = read(tmp_path / "d.json")
    assert len(records) == good and message in problem


@pytest.mark.parametrize("name", ["d.jsonl.gz", "d.jsonl.zst", "d.csv.gz", "d.json.zst"])
def test_compressed_files_that_are_cut_or_something_else(name: str, tmp_path: Path) -> None:
    records = [{"text": f"{i} {hash(str(i))}" * 20} for i in range(20_000)]
    data = json.dumps(records).encode() if "json." in name else lines(records)
    packed = gzip.compress(data) if name.endswith("gz") else zstandard.compress(data)
    for content, message in ((packed[: len(packed) // 2], "in the middle"), (b"plain text\n", "or a damaged one")):
        (tmp_path / name).write_bytes(content)
        _, problems = read(tmp_path / name)
        assert any(message in problem for problem in problems), problems


def test_tables(tmp_path: Path) -> None:
    (tmp_path / "d.tsv").write_text('text\tn\n"two\nlines"\t1\nx\t2\n')
    records, problems = read(tmp_path / "d.tsv")
    assert not problems
    assert [(record.line, record.values) for record in records] == [
        (2, {"text": "two\nlines", "n": "1"}),
        (4, {"text": "x", "n": "2"}),
    ]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.json"])
def test_an_encoding_is_used_if_it_is_named_and_only_then(encoding: str, name: str, tmp_path: Path) -> None:
    text = {
        "d.jsonl": '{"text": "我想查询余额"}\n',
        "d.csv": "text\n我想查询余额\n",
        "d.json": '[{"text": "我想查询余额"}]',
    }
    path = tmp_path / name
    path.write_bytes(text[name].encode(encoding))
    records, problems = read(path, encoding=encoding)
    assert not problems and [record.values for record in records] == [{"text": "我想查询余额"}]
    records, problems = read(path)
    assert not records and f"encoding: {encoding}" in problems[0]
    path.write_bytes(text[name].encode("gb18030") + b"\xff\xff")
    assert "is not GB18030, the encoding that run.yaml names" in read(path, encoding="gb18030")[1][0]


def test_parquet_with_unexpected_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["a", None]).dictionary_encode(),
            "price": [Decimal("1.50"), None],
            "day": [date(2024, 2, 29), None],
            "bytes": [b"plain", b"text"],
            "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
            "list": [[{"role": "user"}], None],
        }
    )
    pq.write_table(table, tmp_path / "d.parquet")
    records, problems = read(tmp_path / "d.parquet")
    assert not problems
    assert records[0].values == {
        "text": "a", "price": "1.50", "day": "2024-02-29", "bytes": "plain", "map": {"k": 1},
        "list": [{"role": "user"}],
    }  # fmt: skip
    pq.write_table(pa.table({"image": [b"ok", b"\xff\xd8"]}), tmp_path / "i.parquet")
    records, [problem] = read(tmp_path / "i.parquet")
    assert len(records) == 1 and problem.startswith(
        "i.parquet:2: column 'image' holds bytes that are no UTF-8 text (an image?)"
    )


@pytest.mark.parametrize("name", ["d.parquet", "d.arrow"])
def test_columnar_files_that_are_cut_or_something_else(name: str, tmp_path: Path) -> None:
    table = pa.table({"text": [f"{i}" * 50 for i in range(5000)]})
    if name == "d.parquet":
        pq.write_table(table, tmp_path / name)
    else:
        with pa.ipc.new_stream(tmp_path / name, table.schema) as writer:
            writer.write_table(table, max_chunksize=100)
    assert len(read(tmp_path / name)[0]) == 5000
    whole = (tmp_path / name).read_bytes()
    for content in (whole[: len(whole) // 2], b"text,label\n" * 10):
        (tmp_path / name).write_bytes(content)
        _, [problem] = read(tmp_path / name)
        assert "file, or a damaged one" in problem
    (tmp_path / name).write_bytes(b"")
    assert read(tmp_path / name)[1] == [f"{name}: the file is empty"]


def test_folders_of_a_data_set(tmp_path: Path) -> None:
    for split, number in (("train", 2), ("test", 1)):
        for part in range(number):
            pq.write_table(pa.table({"n": [part] * 3}), tmp_path / f"{split}-0000{part}-of-0000{number}.parquet")
    (tmp_path / "README.md").write_text("not data")
    records, problems = read(tmp_path)
    assert not problems and [(record.line, record.values["n"]) for record in records] == [
        (1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 1),
    ]  # fmt: skip
    assert len(read(tmp_path, split="test")[0]) == 3
    _, [problem] = read(tmp_path, split="validation")
    assert problem.endswith("the data set has no split 'validation'; it has test and train: set `split`")
    (tmp_path / "empty").mkdir()
    assert "the folder has no file of a format that can be read" in read(tmp_path / "empty")[1][0]


def test_records_of_json_lines_in_blocks_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(lines([{"n": i, "text": "x" * (i % 3000)} for i in range(3000)]))
    file, problems = SourceFile(path, "d.jsonl"), Problems()
    found = [record for block in blocks(file, problems.add) for record in parse(block, problems.add)]
    assert len(list(blocks(file, problems.add))) > 2
    assert [(record.line, record.values["n"]) for record in found] == [(i + 1, i) for i in range(3000)]


def test_a_sample_is_spread_over_the_file_and_keeps_its_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(lines([{"n": i, "text": "x" * (i % 300)} for i in range(20_000)]))
    sampled = sample_blocks(SourceFile(path, "d.jsonl"), lambda _: None, 320)
    found = [record for block in sampled.blocks for record in parse(block, lambda _: None)]
    assert all(record.line == record.values["n"] + 1 for record in found)
    assert len({record.line for record in found}) == len(found) == 320
    assert found[0].line == 1 and found[-1].line > 18_000
    assert sampled.note == "320 of 20,000 records of d.jsonl were looked at, in 16 pieces spread over the file"
    small = sample_blocks(SourceFile(path, "d.jsonl"), lambda _: None, 19_000)
    assert sum(1 for block in small.blocks for _ in parse(block, lambda _: None)) == 20_000 and not small.note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"data": [{"a": 1}], "version": "2', "the value of 'version': not JSON: Unterminated string"),
        ('{"data": [{"a": 1}], "more": [{"te', "the value of 'more': not JSON"),
        ('{"train": [{"a": 1}], "test": [{"a": 2}]}', "the file has a second list, under 'test'"),
        ('{"data": [{"a": 1}], "version": 2', "without the closing }"),
        ('{"data": [{"a": 1}], "version": 2} []', "there is more behind the closing ]"),
    ],
)
def test_what_stands_behind_the_list(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(text)
    records, [problem] = read(tmp_path / "d.json")
    assert len(records) == 1 and message in problem
    (tmp_path / "d.json").write_text('{"data": [{"a": 1}], "version": 2, "tags": ["x"]}\n')
    assert read(tmp_path / "d.json") == ([Record(1, {"a": 1})], [])
