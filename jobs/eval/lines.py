"""JSON lines, the same bytes for the same values."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sftjobs.canonical import canonical


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """One canonical JSON value per line."""
    with path.open("wb") as file:
        for value in values:
            file.write(canonical(value) + b"\n")


def read_lines(path: Path) -> list[Any]:
    """What `write_lines` wrote."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
