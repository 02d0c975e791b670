"""Which examples make up each optimizer step: a pure function of the data, the config and the step.

An epoch e holds every task with more than e passes, plus general examples in the configured ratio, in an order drawn
from (seed, epoch). Batches are cut epoch by epoch, so the last one of an epoch may be smaller. Nothing is iterated to
find a step: training goes on at step n as fast as it starts at step 0.

Orders come from a hash of (seed, epoch, example) rather than from a generator: the same in every Python version.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate, pairwise

from sftjobs.plan.arithmetic import epoch_sizes, general_in_epoch

GENERAL = "general"
"""Task name of the general examples."""


class Order:
    """The training order over examples numbered 0, 1, ... whose tasks are `tasks`."""

    def __init__(
        self,
        tasks: Sequence[str],
        epochs: Mapping[str, int],
        general_ratio: float | None,
        general_max_repeats: int,
        global_batch: int,
        seed: int,
    ) -> None:
        self._tasks = tasks
        self._epochs = epochs
        self._ratio = general_ratio
        self._max_repeats = general_max_repeats
        self._batch = global_batch
        self._seed = seed
        self._general = [index for index, task in enumerate(tasks) if task == GENERAL]
        counts = Counter(task for task in tasks if task != GENERAL)
        self.sizes = epoch_sizes(counts, epochs, len(self._general), general_ratio, general_max_repeats)
        """Examples per epoch."""
        self._ends = list(accumulate(-(-size // global_batch) for size in self.sizes))
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    @property
    def steps(self) -> int:
        """Optimizer steps that the epochs give."""
        return self._ends[-1] if self._ends else 0

    def epoch_of(self, step: int) -> int:
        """The epoch (from 0) that step `step` (from 0) belongs to."""
        return bisect_right(self._ends, step)

    def batch(self, step: int) -> list[int]:
        """Numbers of the examples of step `step` (from 0), over all ranks."""
        epoch = self.epoch_of(step)
        start = (step - (self._ends[epoch - 1] if epoch else 0)) * self._batch
        return self._epoch(epoch)[start : start + self._batch]

    def _make_epoch(self, epoch: int) -> list[int]:
        domain = [
            index for index, task in enumerate(self._tasks) if task != GENERAL and self._epochs.get(task, 0) > epoch
        ]
        wanted = general_in_epoch(len(domain), len(self._general), self._ratio, self._max_repeats)
        return self._shuffled(f"{epoch}/order", domain + self._draw_general(epoch, wanted))

    def _draw_general(self, epoch: int, wanted: int) -> list[int]:
        """`wanted` general examples, each used equally often up to one; which ones get the last use is drawn."""
        if not wanted:
            return []
        repeats, rest = divmod(wanted, len(self._general))
        return self._general * repeats + self._shuffled(f"{epoch}/general", self._general)[:rest]

    def _shuffled(self, purpose: str, items: list[int]) -> list[int]:
        """`items` in an order drawn from the seed and `purpose`; a repeated item gets a place for each of its uses."""
        uses: Counter[int] = Counter()
        keyed = []
        for item in items:
            text = f"{self._seed}/{purpose}/{item}/{uses[item]}"
            keyed.append((blake2b(text.encode(), digest_size=16).digest(), item))
            uses[item] += 1
        return [item for _, item in sorted(keyed)]


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
