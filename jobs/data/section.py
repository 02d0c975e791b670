"""The report's section on data: `info/report/data.json` (docs/data.md has its fields)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jobs.data.card import card, within
from jobs.data.counts import dropped, flagged, label_counts
from jobs.data.duplicates import Conflict, Conflicts
from jobs.data.examples import Example
from jobs.data.gather import Gathered
from jobs.data.limits import by_seed
from jobs.data.prepare import Prepared
from jobs.data.table import SIDES, Array, Side, Table
from jobs.data.write import shortened_to_fit
from jobs.lm.render import Renderer
from sftjobs.plan.configs import DataConfig, DataCounts
from sftjobs.spec.words import shortened

SAMPLES = 20
CONFLICTS = 20
_BINS = 20
_EXCERPT = 300  # characters


def section(
    found: Gathered,
    prepared: Prepared,
    config: DataConfig,
    counts: DataCounts,
    renderer: Renderer,
) -> dict[str, Any]:
    """Everything a person wants to see about the data of a run."""
    table = found.table
    train = table.kept("train")
    fields = {
        "funnel": funnel(table, len(found.bad)),
        "flagged": flagged(table),
        "tasks": [{"task": task, **values.model_dump()} for task, values in counts.tasks.items()],
        "labels": label_table(table, config),
        "lengths": histogram(table.tokens[train].tolist()),
        "max_tokens": config.max_tokens,
        "common_prefix_tokens": counts.common_prefix_tokens,
        "longest_answer_tokens": counts.longest_answer_tokens,
        "conflicts": conflict_summary(table, prepared.conflicts),
        "template_hash": renderer.template_hash,
        "examples": samples(table, train, config.seed, SAMPLES, renderer),
        "held_out": counts.held_out,
        **card(found, prepared, config),
    }
    return within(fields)


def funnel(table: Table, bad: int = 0) -> list[dict[str, Any]]:
    """From records to the sets, step by step; `dropped` steps name the rule."""
    steps: list[dict[str, Any]] = [{"step": "records", "examples": len(table) + bad}]
    steps += [{"step": "bad_record", "dropped": bad}] if bad else []
    steps += [{"step": rule, "dropped": number} for rule, number in dropped(table).items()]
    shown: tuple[Side, ...] = ("train", "held_out", "dev")
    ends = [(side, len(table.kept(side))) for side in shown]
    return steps + [{"step": side, "examples": number} for side, number in ends if number or side != "dev"]


def task_table(table: Table) -> list[dict[str, Any]]:
    """Records and kept examples of each task on each side."""
    rows = []
    for side in SIDES:
        for task in table.tasks:
            mask = table.of(side, task)
            if mask.any():
                kept = len(table.kept(side, task))
                numbers = {"records": int(mask.sum()), "kept": kept, "dropped": dropped(table, mask)}
                rows.append({"task": task, "side": side, **numbers})
    return rows


def label_table(table: Table, config: DataConfig) -> list[dict[str, Any]]:
    """Training and held-out examples of each label; empty where the answer is not a label."""
    train = label_counts(table, table.kept("train"), config)
    held_out = label_counts(table, table.kept("held_out"), config)
    return [{"label": label, "train": train[label], "held_out": held_out[label]} for label in train]


def histogram(lengths: Sequence[int]) -> list[dict[str, int]]:
    """Bins [from, to) of one width, a power of two, at most 20 of them over the range that occurs."""
    if not lengths:
        return []
    width = 8
    while max(lengths) // width - min(lengths) // width >= _BINS:
        width *= 2
    first, last = min(lengths) // width, max(lengths) // width
    numbers = np.bincount(np.array(lengths) // width - first, minlength=last - first + 1)
    return [
        {"from": (first + i) * width, "to": (first + i + 1) * width, "examples": int(number)}
        for i, number in enumerate(numbers)
    ]


def conflict_summary(table: Table, conflicts: Conflicts) -> dict[str, Any]:
    """How many questions have more than one answer, and the first of them."""
    return {"questions": len(conflicts.groups), "shown": conflict_table(conflicts.shown(table, CONFLICTS))}


def conflict_table(found: Sequence[Conflict]) -> list[dict[str, Any]]:
    """Questions with more than one answer, as text."""
    return [
        {
            "task": conflict.task,
            "question": shortened(conflict.question, _EXCERPT),
            "answers": [{"answer": shortened(answer, _EXCERPT), "line": line} for answer, line in conflict.answers],
        }
        for conflict in found
    ]


def samples(table: Table, rows: Array, seed: int, number: int, renderer: Renderer) -> list[dict[str, Any]]:
    """Some examples as text in segments, each with whether it is trained."""
    chosen = by_seed(table, rows, seed)[:number]
    found = [(row, example) for row, (example, _) in zip(chosen.tolist(), table.examples(chosen), strict=True)]
    return [_sample(shortened_to_fit(table, row, example), renderer) for row, example in found]


def _sample(example: Example, renderer: Renderer) -> dict[str, Any]:
    segments = [[text, trained] for text, trained in renderer.segments(example.messages)]
    return {"id": example.id, "task": example.task, "line": example.source.line, "segments": segments}
