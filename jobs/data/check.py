"""Look at the data of a run without running it: every problem at once, tables, rendered examples, advice.

    python -m jobs.data.check --request FILE        prints one JSON object; `sftjobs check` starts it

Request: {"model": folder or null, "config": DataConfig, "inputs": {name: path}, "show": examples to render}.
It uses the functions of the stage itself, on a sample where a source is large. Without a model, everything but tokens
is checked.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from jobs.data.advice import Measured, advise
from jobs.data.counts import flagged
from jobs.data.gather import Gathered, Reading, gathered
from jobs.data.helpers import InputFile, find_helpers
from jobs.data.measure import common_prefix
from jobs.data.mixture import mixture_rows
from jobs.data.prepare import Given, Prepared, empty_sides, prepare, too_much_dropped
from jobs.data.problems import DataProblem, Problems
from jobs.data.prompt_facts import prompt_facts
from jobs.data.section import conflict_summary, funnel, label_table, samples, task_table
from jobs.data.table import Array, Table
from jobs.lm.render import Renderer, load_tokenizer
from sftjobs.errors import DataError
from sftjobs.model import Document
from sftjobs.plan.configs import DataConfig, MixtureConfig
from sftjobs.plan.mixture import general_table

MAX_RECORDS = 20_000
"""Records read of each source; more are sampled, spread over it where its format allows that."""
MAX_COUNTED = 2_000
"""Examples of which tokens are counted."""


class Request(Document):
    """What to check."""

    model: str | None
    """Model folder; None if there is none yet, e.g. before an import."""
    config: DataConfig
    mixture: MixtureConfig | None = None
    inputs: dict[str, str]
    """Input name (`task.<name>`, `general`, `held_out`, ...) -> path."""
    show: int = Field(default=3, ge=0)
    """Rendered examples to return."""
    max_records: int = MAX_RECORDS
    max_counted: int = MAX_COUNTED


def check(request: Request) -> dict[str, Any]:
    """The answer: problems, tables, rendered, advice, notes (what was only sampled)."""
    config, problems = request.config, Problems()
    renderer = _renderer(request.model, problems)
    files = {name: InputFile(Path(path), path) for name, path in request.inputs.items()}
    reading = Reading(sample=request.max_records)
    try:
        helpers = find_helpers(files, renderer, problems.add)
        with gathered(config, files, helpers, problems, lambda *_: None, reading) as found:
            model = None if request.model is None else Path(request.model)
            given = Given(config, files, problems, lambda *_: None, model, renderer, 1, request.max_counted)
            return _answer(found, prepare(found.table, given), given, request)
    except DataError as error:  # what stops the stage as a whole
        problems.add(DataProblem("data", "data", None, None, str(error)))
        return _nothing(problems)


def _answer(found: Gathered, prepared: Prepared, given: Given, request: Request) -> dict[str, Any]:
    config, problems, table = given.config, given.problems, found.table
    if not problems.total:
        for reason in empty_sides(table) or too_much_dropped(table, config.max_dropped):
            problems.add(DataProblem("empty", "data", None, None, reason))
    train = table.kept("train")
    counted = np.flatnonzero((table.tokens >= 0) & table.of("train"))
    tokens = None if given.renderer is None or not len(counted) else token_table(table, counted, given)
    rendered = [] if given.renderer is None else samples(table, train, config.seed, request.show, given.renderer)
    mixed = mixture_rows(table, request.mixture, config.seed)
    return {
        "problems": problems.as_json(),
        "more_problems": problems.total - len(problems.kept),
        "tables": {
            "funnel": funnel(table, len(found.bad)),
            "tasks": task_table(table),
            "labels": label_table(table, config),
            "tokens": tokens,
            "flagged": flagged(table),
            "mixture": mixed,
            "general": general_table(mixed, request.mixture.general_ratio if request.mixture else None),
            "conflicts": conflict_summary(table, prepared.conflicts),
        },
        "facts": asdict(prompt_facts(table, config, tokens, given.renderer)),
        "rendered": rendered,
        "advice": [asdict(one) for one in advise(table, config, Measured(tokens, len(prepared.conflicts.groups)))],
        "notes": _notes(found, counted, request, given.renderer.warning if given.renderer else None),
    }


def _nothing(problems: Problems) -> dict[str, Any]:
    more = problems.total - len(problems.kept)
    return {
        "problems": problems.as_json(), "more_problems": more, "tables": {}, "rendered": [], "advice": [], "notes": []
    }  # fmt: skip


def _renderer(model: str | None, problems: Problems) -> Renderer | None:
    if model is None:
        return None
    try:
        return Renderer(load_tokenizer(Path(model)))
    except DataError as error:
        problems.add(DataProblem("model", model, None, None, str(error).removeprefix(f"{model}: ")))
        return None


def token_table(table: Table, counted: Array, given: Given) -> dict[str, Any]:
    """Lengths of the counted training examples, in tokens."""
    assert given.renderer is not None
    lengths = np.sort(table.tokens[counted])
    percentiles = {
        f"p{share}": int(lengths[min(len(lengths) - 1, len(lengths) * share // 100)]) for share in (5, 50, 95)
    }
    return {
        "counted": len(lengths),
        **percentiles,
        "max": int(lengths[-1]),
        "mean": round(float(lengths.mean()), 1),
        "supervised_mean": round(float(table.supervised[counted].mean()), 1),
        "max_tokens": given.config.max_tokens,
        "too_long": int((lengths > given.config.max_tokens).sum()),
        "common_prefix_tokens": common_prefix(table, counted, given.renderer),
    }


def _notes(found: Gathered, counted: Array, request: Request, warning: str | None) -> list[str]:
    notes = list(found.notes)
    if found.bad:
        first = found.bad[0]
        number = f"{len(found.bad):,} record{'s' if len(found.bad) > 1 else ''}"
        notes.append(f"{number} cannot be read and would be skipped; the first is line {first.line:,}: {first.reason}")
    if warning is not None:
        notes.append(f"warning: {warning}")
    candidates = int((found.table.is_kept("train")).sum())
    if len(counted) and len(counted) < candidates:
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
