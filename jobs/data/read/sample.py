"""A sample of a large file of JSON Lines: pieces at even distances, so that its end is looked at like its beginning."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jobs.data.read.jsonl import JsonLines
from jobs.data.read.lines import count_lines
from jobs.data.read.records import SourceFile

PIECES = 16
_READ = 2**23


@dataclass
class Sampled:
    """Blocks, and what a person has to know about them."""

    blocks: Iterator[Any]
    note: str = ""
    """Empty if these are all records; right when the blocks have been gone through."""


def sample(file: SourceFile, records: int, everything: Callable[[], Iterator[JsonLines]]) -> Sampled:
    """About `records` lines in PIECES pieces; the whole file if it has not many more."""
    with file.path.open("rb") as opened:
        total = sum(count_lines(piece) for piece in iter(lambda: opened.read(_READ), b""))
    if total <= records + records // 4:
        return Sampled(everything())
    pieces = min(PIECES, records)
    note = f"{records:,} of {total:,} records of {file.name} were looked at, in {pieces} pieces spread over the file"
    return Sampled(_pieces(file, pieces, records // pieces), note)


def _pieces(file: SourceFile, pieces: int, records: int) -> Iterator[JsonLines]:
    """Lines are numbered as in the whole file, so what lies between is counted."""
    size = file.path.stat().st_size
    with file.path.open("rb") as opened:
        line, position = 1, 0
        for i in range(pieces):
            start = max(position, size * i // pieces)
            moved = start > position
            while position < start:
                piece = opened.read(min(_READ, start - position))
                line, position = line + piece.count(b"\n"), position + len(piece)
            if moved:  # the rest of the line in whose middle that is
                rest = opened.readline()
                line, position = line + 1, position + len(rest)
            data = b"".join(opened.readline() for _ in range(records))
            if data:
                yield JsonLines(file.path, file.name, line, data.removeprefix(b"\xef\xbb\xbf"))
            line, position = line + data.count(b"\n"), position + len(data)
