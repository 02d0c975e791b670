"""One raw record, and what a source of records is."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftjobs.spec.words import listed, nearest


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One source of the data stage."""

    path: Path
    """A file, or the folder of a data set."""
    name: str
    """How messages call it."""
    format: str = "auto"
    """A format of `sftjobs.spec.data.SourceFormat`; `auto`: by the name's suffix."""
    encoding: str = "utf-8"
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One raw record."""

    line: int
    """Where it begins, from 1: a line of a text file, a row of a table, an element of a list."""
    values: dict[str, Any]


def file_digest(path: Path) -> str:
    """Hex SHA-256 of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def missing_column(wanted: str, values: dict[str, Any]) -> str:
    """What a record has instead of the column `wanted`."""
    known = [str(key) for key in values]
    meant = nearest(wanted, known)
    hint = f", did you mean {meant!r}?" if meant else ""
    return f"no column {wanted!r}{hint} The record has {listed(known, 'and')}" if known else f"no column {wanted!r}"
