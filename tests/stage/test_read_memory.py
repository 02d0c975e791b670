"""Reading takes little memory, whatever the file: large ones, long lines, decompression bombs."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

MEASURE = """
import json, resource, sys
from pathlib import Path
from jobs.data.read import SourceFile, read_records
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
problems = []
records = sum(1 for _ in read_records(SourceFile(Path(sys.argv[1]), "d"), problems.append))
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(json.dumps([records, [str(problem) for problem in problems], grown]))
"""


def measured(path: Path, before: str = "") -> tuple[int, list[str], float]:
    """Records, problems, and by how many MiB the process grew."""
    done = subprocess.run(
        [sys.executable, "-c", before + MEASURE, str(path)], capture_output=True, text=True, check=True
    )
    records, problems, grown = json.loads(done.stdout)
    return records, problems, grown


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    record = json.dumps({"text": "x" * 900, "label": "a"}).encode() + b"\n"
    for name, content in (
        ("d.jsonl", record * 100_000),
        ("d.json", b"[" + (record.strip() + b",\n") * 99_999 + record + b"]"),
    ):
        (tmp_path / name).write_bytes(content)
        records, problems, grown = measured(tmp_path / name)
        assert (records, problems) == (100_000, []) and grown < 60, grown


def test_one_line_of_50_mb_is_a_record_and_one_of_200_mb_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"text": "' + b"x" * 50_000_000 + b'"}\n{"text": "b"}\n')
    assert measured(path)[:2] == (2, [])
    path.write_bytes(b'{"a": 1}\n{"text": "' + b"x" * 200_000_000 + b'"}\n{"text": "b"}\n')
    records, [problem], grown = measured(path)
    assert records == 2 and problem.startswith("d:2: the line has more than 128 MiB") and grown < 600


@pytest.mark.parametrize("name", ["d.jsonl.gz", "d.jsonl.zst", "d.csv.gz"])
def test_a_decompression_bomb_is_refused_with_little_memory(name: str, tmp_path: Path) -> None:
    """What is large is lowered to 32 MiB here; the bomb has 1 GiB."""
    path, piece = tmp_path / name, (b" " * 1023 + b"\n") * 2**12
    if name.endswith("gz"):
        with gzip.open(path, "wb", compresslevel=9) as file:
            for _ in range(256):
                file.write(piece)
    else:
        with path.open("wb") as raw, zstandard.ZstdCompressor().stream_writer(raw) as stream:
            for _ in range(256):
                stream.write(piece)
    _, problems, grown = measured(path, "import jobs.data.read.bytes as b\nb.LARGE = 2**25\n")
    assert any("this looks like a decompression bomb" in problem for problem in problems), problems
    assert grown < 200
