"""How many examples an epoch holds and how many steps they make; training and planning both count with this."""

from collections.abc import Sequence
from math import floor


def general_in_epoch(domain: int, general_examples: int, ratio: float | None, max_repeats: int) -> int:
    """General examples mixed into an epoch of `domain` examples: `ratio` per domain example, rounded half up.

    Never more than `general_examples * max_repeats`; none if `ratio` is None.
    """
    if ratio is None:
        return 0
    return min(floor(ratio * domain + 0.5), general_examples * max_repeats)


def optimizer_steps(sizes: Sequence[int], global_batch: int) -> int:
    """Steps for epochs of these sizes: no batch spans two epochs, so the last one of an epoch may be smaller."""
    return sum(-(-size // global_batch) for size in sizes)
