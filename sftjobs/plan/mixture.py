"""The mixture before training: what each epoch really holds, in examples and in tokens (docs/mixing.md)."""

from collections import Counter
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
    counted, and give null.
    """
    order = Order(tasks, mixture, global_batch=1, seed=seed)
    counted = min(tokens, default=-1) >= 0
    found: list[Row] = []
    for epoch in range(min(len(order.sizes), SHOWN)):
        members = order.members(epoch)
        drawn = Counter(tasks[i] for i in members)
        of_tokens: Counter[str] = Counter()
        of_supervised: Counter[str] = Counter()
        for i in members if counted else ():
            of_tokens[tasks[i]] += tokens[i]
            of_supervised[tasks[i]] += supervised[i]
        sizes = Counter(tasks)
        found += [
            {
                "epoch": epoch + 1,
                "task": task,
                "examples": drawn[task],
                "of": sizes[task],
                "uses": round(drawn[task] / sizes[task], 3),
                "share": round(drawn[task] / len(members), 4),
                "tokens": of_tokens[task] if counted else None,
                "supervised_tokens": of_supervised[task] if counted else None,
                "token_share": round(of_tokens[task] / of_tokens.total(), 4) if counted else None,
            }
            for task in sorted(drawn, key=lambda task: (task == GENERAL, task))
        ]
    return found
