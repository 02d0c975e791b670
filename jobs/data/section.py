"""The report's section on data: `info/report/data.json` (docs/data.md has its fields)."""

from collections.abc import Sequence
from typing import Any

from jobs.data.counts import dropped, label_counts
from jobs.data.dedup import Conflict, conflicts
from jobs.data.ledger import Entry, kept
from jobs.data.select import shuffled
from jobs.lm.render import Renderer
from sftjobs.plan.configs import DataConfig, DataCounts
from sftjobs.spec.words import shortened

_SAMPLES = 5
_CONFLICTS = 20
_BINS = 20
_EXCERPT = 300  # characters


def section(entries: Sequence[Entry], config: DataConfig, counts: DataCounts, renderer: Renderer) -> dict[str, Any]:
    """Everything a person wants to see about the data of a run."""
    train, held_out = kept(entries, "train"), kept(entries, "held_out")
    found = conflicts(entries)
    return {
        "funnel": funnel(entries),
        "tasks": [{"task": task, **values.model_dump()} for task, values in counts.tasks.items()],
        "labels": label_table(entries, config),
        "lengths": histogram([entry.tokens or 0 for entry in train]),
        "max_tokens": config.max_tokens,
        "common_prefix_tokens": counts.common_prefix_tokens,
        "longest_answer_tokens": counts.longest_answer_tokens,
        "conflicts": {"questions": len(found), "shown": conflict_table(found)},
        "template_hash": renderer.template_hash,
        "examples": samples(train, config.seed, _SAMPLES, renderer),
        "held_out": len(held_out),
    }


def funnel(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """From records to the two sets, step by step; `dropped` steps name the rule."""
    steps: list[dict[str, Any]] = [{"step": "records", "examples": len(entries)}]
    steps += [{"step": rule, "dropped": number} for rule, number in dropped(entries).items()]
    steps.append({"step": "train", "examples": len(kept(entries, "train"))})
    steps.append({"step": "held_out", "examples": len(kept(entries, "held_out"))})
    return steps


def label_table(entries: Sequence[Entry], config: DataConfig) -> list[dict[str, Any]]:
    """Training and held-out examples of each label; empty where the answer is not a label."""
    train = label_counts(kept(entries, "train"), config)
    held_out = label_counts(kept(entries, "held_out"), config)
    return [{"label": label, "train": train[label], "held_out": held_out[label]} for label in train]


def histogram(lengths: Sequence[int]) -> list[dict[str, int]]:
    """Bins [from, to) of one width, a power of two, at most 20 of them over the range that occurs."""
    if not lengths:
        return []
    width = 8
    while max(lengths) // width - min(lengths) // width >= _BINS:
        width *= 2
    first, last = min(lengths) // width, max(lengths) // width
    numbers = [0] * (last - first + 1)
    for length in lengths:
        numbers[length // width - first] += 1
    return [
        {"from": (first + i) * width, "to": (first + i + 1) * width, "examples": number}
        for i, number in enumerate(numbers)
    ]


def conflict_table(found: Sequence[Conflict]) -> list[dict[str, Any]]:
    """The first conflicts, with the line of each answer."""
    return [
        {
            "task": conflict.task,
            "question": shortened(conflict.question[-_EXCERPT:], _EXCERPT),
            "answers": [
                {"answer": shortened(answer, _EXCERPT), "line": line} for answer, line in conflict.answers[:_CONFLICTS]
            ],
        }
        for conflict in found[:_CONFLICTS]
    ]


def samples(entries: Sequence[Entry], seed: int, number: int, renderer: Renderer) -> list[dict[str, Any]]:
    """Rendered examples; each segment is [text, is it trained]."""
    return [
        {
            "id": entry.example.id,
            "task": entry.example.task,
            "line": entry.example.source.line,
            "segments": [[text, trained] for text, trained in renderer.segments(entry.example.messages)],
        }
        for entry in shuffled(entries, seed)[:number]
    ]
