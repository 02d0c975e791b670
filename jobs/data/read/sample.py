"""A sample of a large file of JSON Lines: pieces at even distances, so that its end is looked at like its beginning."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from jobs.data.read.jsonl import JsonLines
from jobs.data.read.lines import MAX_LINE, count_lines
from jobs.data.read.records import SourceFile

PIECES = 16
_READ = 2**23


@dataclass
class Sampled:
    """Blocks, and what a person has to know about them."""

    blocks: Iterator[Any]
    note: str = ""
    """Empty if these are all records; right when the blocks have been gone through."""


def line_count(file: SourceFile) -> int | None:
    """Lines of the file; None if they end with a carriage return alone, behind which no piece can begin."""
    with file.path.open("rb") as opened:
        lines = feeds = 0
        while piece := _read(opened, _READ):
            lines, feeds = lines + count_lines(piece), feeds + piece.count(b"\n")
    return lines if 2 * feeds >= lines else None


def spread(file: SourceFile, records: int, total: int) -> Sampled:
    """About `records` of `total` lines in PIECES pieces."""
    pieces = min(PIECES, records)
    note = f"{records:,} of {total:,} records of {file.name} were looked at, in {pieces} pieces spread over the file"
    return Sampled(_pieces(file, pieces, records // pieces), note)


def _pieces(file: SourceFile, pieces: int, records: int) -> Iterator[JsonLines]:
    """Lines are numbered as in the whole file, so what lies between is counted."""
    size = file.path.stat().st_size
    with file.path.open("rb") as opened:
        line = 1
        for i in range(pieces):
            start = size * i // pieces
            moved = start > opened.tell()
            while (left := start - opened.tell()) > 0 and (piece := _read(opened, min(_READ, left))):
                line += count_lines(piece)
            if moved:  # the rest of the line in whose middle that is
                line += _skip_line(opened)
            data = b"".join(opened.readline(MAX_LINE) for _ in range(records))
            if data:
                yield JsonLines(file.path, file.name, line, data.removeprefix(b"\xef\xbb\xbf"))
            line += count_lines(data)


def _read(opened: BinaryIO, number: int) -> bytes:
    """So many bytes, and one more if they end between the two of a line end."""
    piece = opened.read(number)
    return piece + opened.read(1) if piece.endswith(b"\r") else piece


def _skip_line(opened: BinaryIO) -> int:
    """Go behind the next line feed, without the line in memory. Tells how many lines ended on the way."""
    lines = 0
    while piece := opened.readline(_READ):
        piece += opened.read(1) if piece.endswith(b"\r") else b""
        lines += count_lines(piece)
        if piece.endswith(b"\n"):
            break
    return lines
