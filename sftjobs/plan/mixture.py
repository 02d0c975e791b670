"""The mixture before training: what each epoch really holds, in examples and in tokens (docs/mixing.md)."""

from collections.abc import Sequence
from typing import Any

from sftjobs.plan.sampler import GENERAL, Mixture, Order

SHOWN = 10
"""Epochs that are listed; more are like the ones before them."""

Row = dict[str, Any]


def mixture_table(
    tasks: Sequence[str], tokens: Sequence[int], supervised: Sequence[int], mixture: Mixture, seed: int
) -> list[Row]:
    """For each of the first epochs and each task: examples, uses per example, tokens, shares of both.

    Task, tokens and tokens with loss of each training example, in the order of train.jsonl; tokens below 0 were not
    counted, and give null. General data comes last in its epoch.
    """
    chosen = mixture.drawn_from(tasks)
    tasks = [tasks[index] for index in chosen]
    tokens, supervised = ([column[index] for index in chosen] for column in (tokens, supervised))
    order = Order(tasks, mixture, global_batch=1, seed=seed)
    counted = min(tokens, default=-1) >= 0
    whole: dict[str, list[int]] = {task: [0, 0, 0] for task in sorted(set(tasks), key=_general_last)}
    for task, of_all, with_loss in zip(tasks, tokens, supervised, strict=True):
        sums = whole[task]
        sums[0] += 1
        sums[1] += of_all
        sums[2] += with_loss
    found: list[Row] = []
    for epoch in range(min(len(order.sizes), SHOWN)):
        drawn = order.drawn(epoch)
        rows = []
        for task in [task for task in whole if task in drawn]:
            passes, more = drawn[task]
            size, of_all, with_loss = whole[task]
            examples = passes * size + len(more)
            row = {
                "epoch": epoch + 1,
                "task": task,
                "examples": examples,
                "of": size,
                "uses": round(examples / size, 3),
                "share": round(examples / order.sizes[epoch], 4),
                "tokens": passes * of_all + sum(tokens[i] for i in more) if counted else None,
                "supervised_tokens": passes * with_loss + sum(supervised[i] for i in more) if counted else None,
            }
            rows.append(row)
        _add_share_of_tokens(rows, counted)
        found += rows
    return found


def _add_share_of_tokens(rows: list[Row], counted: bool) -> None:
    whole = sum(row["tokens"] for row in rows) if counted else 0
    for row in rows:
        row["token_share"] = round(row["tokens"] / whole, 4) if whole else None


def general_table(rows: Sequence[Row], asked: float | None) -> list[Row]:
    """For each epoch of a `mixture_table`: general examples per domain example, as asked for and as drawn.

    `tokens` is the same ratio in tokens; null if they were not counted. Empty if no general data is asked for.
    """
    found = []
    for epoch in sorted({row["epoch"] for row in rows}) if asked is not None else ():
        of_epoch = [row for row in rows if row["epoch"] == epoch]
        examples = [_sum_of(of_epoch, "examples", general) for general in (True, False)]
        tokens = [_sum_of(of_epoch, "tokens", general) for general in (True, False)]
        found.append(
            {
                "epoch": epoch,
                "general": examples[0],
                "domain": examples[1],
                "asked": asked,
                "examples": _ratio(*examples),
                "tokens": _ratio(*tokens),
            }
        )
    return found


def mixture_lines(rows: Sequence[Row]) -> list[list[str]]:
    """A `mixture_table` as cells of text, the names of the columns first. What was not counted is `-`."""
    found = [["epoch", "task", "examples", "uses", "share", "tokens", "supervised", "share of tokens"]]
    for row in rows:
        found.append(
            [
                str(row["epoch"]),
                row["task"],
                f"{row['examples']:,} of {row['of']:,}",
                f"{row['uses']:g}",
                _percent(row["share"]),
                _number(row["tokens"]),
                _number(row["supervised_tokens"]),
                _percent(row["token_share"]),
            ]
        )
    return found


def _general_last(task: str) -> tuple[bool, str]:
    return task == GENERAL, task


def _sum_of(rows: Sequence[Row], column: str, general: bool) -> int | None:
    values = [row[column] for row in rows if (row["task"] == GENERAL) == general]
    return None if None in values else sum(values)


def _ratio(general: int | None, domain: int | None) -> float | None:
    return None if general is None or not domain else round(general / domain, 4)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
