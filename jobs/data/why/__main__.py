"""Answer one question about a ledger.

    python -m jobs.data.why --request FILE        prints one JSON object; `sftjobs why` starts it

Request: a `Request` as JSON. Exit code 10 and a message on standard error if no record, or more than one, is meant.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field, ValidationError

from jobs.data.problems import DataProblem
from jobs.data.read import SourceFile, read_records
from jobs.data.why.find import find
from jobs.data.why.ledger import Ledger, read
from jobs.data.why.story import epochs, funnel, story
from sftjobs.errors import DataError
from sftjobs.model import Document
from sftjobs.names import Exit
from sftjobs.plan.configs import DataConfig, MixtureConfig


class Source(Document):
    """A source of which raw records are wanted."""

    path: str
    format: str
    encoding: str = "utf-8"
    split: str | None = None
    lines: list[int]


class Request(Document):
    """What is asked."""

    ledger: str | None = None
    """ledger.parquet of an artifact."""
    ask: str | None = None
    """An id, the beginning of one, the user's own, or a place; None: the counts of all."""
    names: dict[str, list[str]] = {}
    """Digest of a source -> names by which a person may call it, the first of them to show."""
    config: dict[str, Any] | None = None
    """DataConfig of the stage, as its version wrote it."""
    mixture: dict[str, Any] | None = None
    """MixtureConfig of the training."""
    seed: int = 0
    records: list[Source] = Field(default=[])
    """Instead: raw records of sources."""


def answer(request: Request) -> dict[str, Any]:
    """Raises DataError if no record, or more than one, is meant."""
    if request.records:
        return {"records": [_raw(source) for source in request.records]}
    assert request.ledger is not None
    ledger = _read(Path(request.ledger))
    if request.ask is None:
        return funnel(ledger)
    rows = find(ledger, request.ask, request.names)
    told = story(ledger, rows, request.names, _config(request.config))
    trained = told["decision"] == "kept" and told["split"] == "train"
    return {**told, "epochs": _epochs(ledger, rows[0], request) if trained else None}


def _read(path: Path) -> Ledger:
    try:
        return read(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"ledger.parquet cannot be read: {error}") from None


def _config(given: dict[str, Any] | None) -> DataConfig | None:
    """None for a config of a version that had other fields: which rules looked is not known then."""
    try:
        return None if given is None else DataConfig.model_validate(given)
    except ValidationError:
        return None


def _epochs(ledger: Ledger, row: dict[str, Any], request: Request) -> list[dict[str, int]] | None:
    try:
        mixture = None if request.mixture is None else MixtureConfig.model_validate(request.mixture)
    except ValidationError:
        return None
    return None if mixture is None else epochs(ledger, row, mixture, request.seed)


def _raw(source: Source) -> dict[str, Any]:
    """Line -> values of the wanted records of one source."""
    file = SourceFile(Path(source.path), source.path, source.format, source.encoding, source.split)
    wanted, found = set(source.lines), {}

    def ignore(_: DataProblem) -> None:
        """What else is wrong with the source was said when it was read."""

    for record in read_records(file, ignore):
        if record.line in wanted:
            found[str(record.line)] = record.values
            if len(found) == len(wanted):
                break
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.data.why", description="Ask the ledger of a data stage.")
    parser.add_argument("--request", type=Path, required=True, help="JSON file with the question")
    request = Request.model_validate_json(parser.parse_args(arguments).request.read_bytes())
    try:
        found = answer(request)
    except DataError as error:
        print(error, file=sys.stderr)
        return Exit.BAD_CONFIG
    json.dump(found, sys.stdout, ensure_ascii=False, default=str)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
