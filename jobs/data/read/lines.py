"""Text files cut into blocks of whole lines, each with the number of its first line."""

from collections.abc import Iterator
from pathlib import Path

from jobs.data.problems import DataProblem, Report
from jobs.data.read.bytes import UnreadableError, chunks

BLOCK = 2**20
MAX_LINE = 2**27
"""Bytes of one line; a longer one is no record, and must not fill the memory."""


def line_blocks(path: Path, name: str, encoding: str, report: Report) -> Iterator[tuple[int, bytes]]:
    """Number of the first line (from 1), and bytes of whole lines, line ends included.

    A line ends with a line feed, a carriage return, or both. Lines of more than MAX_LINE bytes are reported and left
    out.
    """
    rest, number, skipping = b"", 1, False
    try:
        for chunk in chunks(path, encoding):
            if skipping:  # the rest of a line that is too long
                end = _first_end(chunk)
                if end is None:
                    continue
                rest, skipping, number = chunk[end:], False, number + 1
            else:
                rest += chunk
            if len(rest) < BLOCK:
                continue
            end = _last_end(rest)
            if end:
                yield number, rest[:end]
                number += count_lines(rest[:end])
                rest = rest[end:]
            elif len(rest) > MAX_LINE:
                _too_long(name, number, report)
                rest, skipping = b"", True
    except UnreadableError as error:
        last = number + count_lines(rest) - 1
        after = f" after line {last:,}" if last > 0 else ""
        report(DataProblem("file", name, None, None, f"{error}{after}"))
    if rest:
        yield number, rest


def count_lines(data: bytes) -> int:
    """Line ends in `data`."""
    if b"\r" not in data:
        return data.count(b"\n")
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def _last_end(data: bytes) -> int:
    """Where the last whole line of `data` ends; 0 if there is none."""
    end = data.rfind(b"\n") + 1
    if end:
        return end
    end = data.rfind(b"\r") + 1
    return end if end < len(data) else data.rfind(b"\r", 0, -1) + 1  # a line feed may follow


def _first_end(data: bytes) -> int | None:
    found = [at for at in (data.find(b"\n"), data.find(b"\r")) if at >= 0]
    return min(found) + 1 if found else None


def _too_long(name: str, number: int, report: Report) -> None:
    message = f"the line has more than {MAX_LINE >> 20} MiB: no record is that long; are the line breaks missing?"
    report(DataProblem("json", name, number, None, message))
