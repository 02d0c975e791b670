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
    held, number, skipping, searched = bytearray(), 1, False, 0
    try:
        for chunk in chunks(path, encoding):
            held += chunk
            if len(held) < BLOCK:
                continue
            end = _first_end(held) if skipping else _last_end(held, searched)
            searched = len(held)
            if skipping and end:  # the line that is too long ends here
                del held[:end]
                number, skipping, searched = number + 1, False, 0
            elif skipping:
                del held[:-1]  # a carriage return may be half of a line end
            elif end:
                data = bytes(held[:end])
                del held[:end]
                searched = len(held)
                yield number, data
                number += count_lines(data)
            elif len(held) > MAX_LINE:
                _too_long(name, number, report)
                skipping = True
                del held[:-1]
    except UnreadableError as error:
        last = number + count_lines(held) - 1
        after = f" after line {last:,}" if last > 0 else ""
        report(DataProblem("file", name, None, None, f"{error}{after}"))
    if skipping:
        end = _first_end(held)
        del held[: end or len(held)]
        number += 1
    if held:
        yield number, bytes(held)


def count_lines(data: bytes | bytearray) -> int:
    """Line ends in `data`."""
    if b"\r" not in data:
        return data.count(b"\n")
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def _last_end(data: bytearray, searched: int) -> int:
    """Where the last whole line of `data` ends; 0 if there is none. Before `searched` there is no line end."""
    end = data.rfind(b"\n", searched) + 1
    if end:
        return end
    return data.rfind(b"\r", max(0, searched - 1), -1) + 1  # not at the very end: a line feed may follow


def _first_end(data: bytearray) -> int:
    """Where the first line of `data` ends; 0 if that is not known yet."""
    feed, carriage = data.find(b"\n"), data.find(b"\r", 0, -1)
    if carriage < 0 or 0 <= feed < carriage:
        return feed + 1
    return carriage + (2 if feed == carriage + 1 else 1)


def _too_long(name: str, number: int, report: Report) -> None:
    message = f"the line has more than {MAX_LINE >> 20} MiB: no record is that long; are the line breaks missing?"
    report(DataProblem("json", name, number, None, message))
