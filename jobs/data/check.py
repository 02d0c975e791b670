"""Look at the data of a run without running it: every problem at once, tables, rendered examples, advice.

    python -m jobs.data.check --request FILE        prints one JSON object; `sftjobs check` starts it

Request: {"model": folder or null, "config": DataConfig, "inputs": {name: path}, "show": examples to render}.
It uses the functions of the stage itself. Without a model, everything but tokens is checked.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from jobs.data.advice import Measured, advise
from jobs.data.counts import dropped, shared_tokens
from jobs.data.dedup import conflicts
from jobs.data.gather import InputFile, gather
from jobs.data.ledger import Entry, kept
from jobs.data.prepare import empty_sides, reduce, split
from jobs.data.problems import DataProblem, Problems
from jobs.data.section import conflict_table, funnel, label_table, samples
from jobs.data.select import shuffled
from jobs.data.tokens import count_tokens, drop_too_long
from jobs.lm.render import Renderer, load_tokenizer
from sftjobs.errors import DataError
from sftjobs.model import Document
from sftjobs.plan.configs import DataConfig

MAX_RECORDS = 200_000
"""Records read of each file."""
MAX_COUNTED = 1_000
"""Examples of which tokens are counted."""


class Request(Document):
    """What to check."""

    model: str | None
    """Model folder; None if there is none yet, e.g. before an import."""
    config: DataConfig
    inputs: dict[str, str]
    """Input name (`task.<name>`, `general`, `held_out`) -> path."""
    show: int = Field(default=3, ge=0)
    """Rendered examples to return."""
    max_records: int = MAX_RECORDS
    max_counted: int = MAX_COUNTED


def check(request: Request) -> dict[str, Any]:
    """The answer: problems, tables, rendered, advice, notes (what was only sampled)."""
    config, problems = request.config, Problems()
    renderer = _renderer(request.model, problems)
    files = {name: InputFile(Path(path), path) for name, path in request.inputs.items()}
    entries = gather(config, files, problems, lambda *_: None, request.max_records)
    split(entries, config)
    found = conflicts(entries)
    counted = [] if renderer is None else _count_some(entries, request, renderer)
    reduce(entries, config)
    if not problems.total:
        for reason in empty_sides(entries):
            problems.add(DataProblem("empty", "data", None, None, reason))
    train = kept(entries, "train")
    tokens = None if renderer is None or not counted else token_table(counted, config.max_tokens)
    rendered = [] if renderer is None else samples(train, config.seed, request.show, renderer)
    return {
        "problems": problems.as_json(),
        "more_problems": problems.total - len(problems.kept),
        "tables": {
            "funnel": funnel(entries),
            "tasks": task_table(entries),
            "labels": label_table(entries, config),
            "tokens": tokens,
            "conflicts": {"questions": len(found), "shown": conflict_table(found)},
        },
        "rendered": rendered,
        "advice": [asdict(one) for one in advise(entries, config, Measured(tokens, len(found)))],
        "notes": _notes(entries, counted, request),
    }


def _renderer(model: str | None, problems: Problems) -> Renderer | None:
    if model is None:
        return None
    try:
        return Renderer(load_tokenizer(Path(model)))
    except DataError as error:
        problems.add(DataProblem("model", model, None, None, str(error).removeprefix(f"{model}: ")))
        return None


def _count_some(entries: Sequence[Entry], request: Request, renderer: Renderer) -> list[Entry]:
    """Count tokens of at most `max_counted` examples, chosen by the seed; drop those that are too long."""
    some = shuffled(kept(entries), request.config.seed)[: request.max_counted]
    count_tokens(some, renderer, lambda *_: None)
    drop_too_long(some, request.config.max_tokens)
    return [entry for entry in some if entry.side == "train"]


def token_table(counted: Sequence[Entry], max_tokens: int) -> dict[str, Any]:
    """Lengths of the counted training examples, in tokens."""
    lengths = sorted(entry.tokens or 0 for entry in counted)
    supervised = sum(entry.supervised or 0 for entry in counted)
    percentiles = {f"p{share}": lengths[min(len(lengths) - 1, len(lengths) * share // 100)] for share in (5, 50, 95)}
    return {
        "counted": len(lengths),
        **percentiles,
        "max": lengths[-1],
        "mean": round(sum(lengths) / len(lengths), 1),
        "supervised_mean": round(supervised / len(lengths), 1),
        "max_tokens": max_tokens,
        "too_long": sum(length > max_tokens for length in lengths),
        "common_prefix_tokens": shared_tokens(counted),
    }


def task_table(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Records and kept examples of each task on each side."""
    tasks = dict.fromkeys((entry.side, entry.example.task) for entry in entries)
    return [
        {
            "task": task,
            "side": side,
            "records": sum(entry.side == side and entry.example.task == task for entry in entries),
            "kept": len(kept(entries, side, task)),
            "dropped": dropped([entry for entry in entries if entry.side == side and entry.example.task == task]),
        }
        for side, task in tasks
    ]


def _notes(entries: Sequence[Entry], counted: Sequence[Entry], request: Request) -> list[str]:
    notes = []
    if len(entries) >= request.max_records:
        notes.append(f"at most {request.max_records:,} records of each file were read")
    candidates = sum(entry.side == "train" and entry.rule in (None, "too_long") for entry in entries)
    if counted and len(counted) < candidates:
        notes.append(f"tokens were counted on {len(counted):,} of {candidates:,} training examples")
    if request.model is None:
        notes.append("no tokens were counted: the model is not on this machine as a folder yet")
    return notes


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.data.check", description="Check the data of a run.")
    parser.add_argument("--request", type=Path, required=True, help="JSON file with the request")
    request = Request.model_validate_json(parser.parse_args(arguments).request.read_bytes())
    json.dump(check(request), sys.stdout, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main(sys.argv[1:])
