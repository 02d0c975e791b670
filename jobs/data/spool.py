"""Examples on disk, one JSON line each, with random access: what is in memory are numbers, not texts."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from jobs.data.examples import Example, Source

_GAP = 2**16
"""Bytes between two wanted lines that are rather read than jumped over."""
_READ = 2**22
"""Bytes of one read at most, unless a single line has more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule said about one example when it was made."""

    rule: str
    reason: str
    dropped: bool
    """False: only marked."""


def encode(example: Example, found: Sequence[Finding]) -> bytes:
    """One line of the spool."""
    value = {
        "id": example.id,
        "task": example.task,
        "messages": example.messages,
        "source": example.source.digest,
        "line": example.source.line,
        "label": example.label,
        "difficulty": example.difficulty,
        "user_id": example.user_id,
        "inputs": example.inputs,
        "found": [[one.rule, one.reason, one.dropped] for one in found],
    }
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def decode(line: bytes) -> tuple[Example, list[Finding]]:
    """The example of one line, and what was found."""
    value: dict[str, Any] = json.loads(line.decode("utf-8", "surrogatepass"))
    example = Example(
        id=value["id"],
        task=value["task"],
        messages=value["messages"],
        source=Source(value["source"], value["line"]),
        label=value["label"],
        difficulty=value["difficulty"],
        user_id=value["user_id"],
        inputs=tuple(value["inputs"]),
    )
    return example, [Finding(*found) for found in value["found"]]


class SpoolWriter:
    """Appends lines; the caller keeps where each begins and how long it is."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._end = 0

    def append(self, lines: bytes) -> int:
        """Write lines; returns the offset of the first."""
        start = self._end
        self._file.write(lines)
        self._end += len(lines)
        return start

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Spool:
    """Reads lines back, in any order; can be sent to another process, which opens the file anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.__init__(path)  # type: ignore[misc]

    def lines(self, offsets: "np.ndarray[Any, Any]", lengths: "np.ndarray[Any, Any]") -> Iterator[bytes]:
        """The lines at `offsets`, in that order; ascending offsets are read in few large pieces."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDONLY)
        for first, last in _runs(offsets, lengths):
            start = int(offsets[first])
            piece = os.pread(self._descriptor, int(offsets[last] + lengths[last]) - start, start)
            for i in range(first, last + 1):
                at = int(offsets[i]) - start
                yield piece[at : at + int(lengths[i])]

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _runs(offsets: "np.ndarray[Any, Any]", lengths: "np.ndarray[Any, Any]") -> Iterator[tuple[int, int]]:
    """Index of the first and last line of pieces that are read at once."""
    if not len(offsets):
        return
    ends = offsets + lengths
    first = 0
    for i in range(1, len(offsets)):
        gap = offsets[i] - ends[i - 1]
        if gap < 0 or gap > _GAP or ends[i] - offsets[first] > _READ:
            yield first, i - 1
            first = i
    yield first, len(offsets) - 1
