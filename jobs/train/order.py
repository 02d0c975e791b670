"""How one optimizer step's examples are dealt out: to ranks, and to micro batches of each rank."""

from collections.abc import Sequence
from itertools import pairwise


def micro_batches(
    batch: Sequence[int], groups: Sequence[str], lengths: Sequence[int], micro_batch_size: int, world_size: int
) -> list[list[list[int]]]:
    """For each rank, its micro batches of one global batch; every rank gets equally many, some may be empty.

    Examples of one group (task) and of similar length come together: they share the longest prefix and waste the least
    padding. The sum over the batch does not depend on the cut. `groups` and `lengths` are indexed by example number.
    """
    ordered = sorted(batch, key=lambda index: (groups[index], lengths[index], index))
    rounds = -(-len(ordered) // (micro_batch_size * world_size))
    pieces = rounds * world_size
    cuts = [len(ordered) * piece // pieces for piece in range(pieces + 1)]
    chunks = [ordered[start:end] for start, end in pairwise(cuts)]
    # Neighbours have about the same size: dealing them out in turn keeps the ranks equally busy in every round.
    return [chunks[rank::world_size] for rank in range(world_size)]
