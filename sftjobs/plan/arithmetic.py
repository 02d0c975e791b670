"""How many examples an epoch holds and how many steps they make; training and planning both count with this."""

from collections.abc import Mapping, Sequence
from math import floor


def general_in_epoch(domain: int, general_examples: int, ratio: float | None, max_repeats: int) -> int:
    """General examples mixed into an epoch of `domain` examples: `ratio` per domain example, rounded half up.

    Never more than `general_examples * max_repeats`; none if `ratio` is None.
    """
    if ratio is None:
        return 0
    return min(floor(ratio * domain + 0.5), general_examples * max_repeats)


def epoch_sizes(
    tasks: Mapping[str, int],
    epochs: Mapping[str, int],
    general_examples: int,
    general_ratio: float | None,
    max_repeats: int,
) -> list[int]:
    """Examples in each epoch, general ones included.

    `tasks` gives the examples of each task (without general), `epochs` the passes over it: epoch e (from 0) holds
    every task with more than e passes. Raises KeyError if a task has no entry in `epochs`.
    """
    last = max((epochs[task] for task in tasks), default=0)
    domain = [sum(count for task, count in tasks.items() if epochs[task] > epoch) for epoch in range(last)]
    return [size + general_in_epoch(size, general_examples, general_ratio, max_repeats) for size in domain]


def optimizer_steps(sizes: Sequence[int], global_batch: int) -> int:
    """Steps for epochs of these sizes: no batch spans two epochs, so the last one of an epoch may be smaller."""
    return sum(-(-size // global_batch) for size in sizes)
