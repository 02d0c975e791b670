"""The sampler: which examples an epoch holds, how often, and in which order. A pure function of (seed, epoch).

Planning counts with it, the data stage makes its table of the mixture with it, training takes its batches from it.
Nothing is iterated to find a step: training goes on at step n as fast as it starts at step 0. Orders come from a hash
of (seed, epoch, example) rather than from a generator: the same in every Python version.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate, chain
from math import ceil, floor, pow
from typing import NamedTuple, Self

from sftjobs.plan.arithmetic import general_in_epoch
from sftjobs.plan.configs import MixtureConfig
from sftjobs.spec.data import MixSpec

GENERAL = "general"
"""Task name of the general examples."""

_BY_EPOCHS = MixSpec()


@dataclass(frozen=True)
class Mixture:
    """How often each task is drawn in each epoch (docs/mixing.md)."""

    epochs: Mapping[str, float]
    """Task -> passes over it; with a mode other than `epochs` the largest of them is the number of epochs. Other tasks
    are not drawn. With `general` in it, general examples are passed over like those of a task."""
    mix: MixSpec = _BY_EPOCHS
    weights: Mapping[str, float] | None = None
    """Task -> weight, for mode `weighted`; default 1."""
    general_ratio: float | None = None
    general_max_repeats: int = 1
    shares: Mapping[str, float] = field(default_factory=dict)
    """Task -> part of its examples that makes a pass; default all."""
    extra: Mapping[str, float] = field(default_factory=dict)
    """Task -> passes over it at the end, in epochs that hold no other task."""

    @classmethod
    def of(cls, config: MixtureConfig) -> Self:
        return cls(
            config.epochs,
            config.mix,
            config.weights,
            config.general_ratio,
            config.general_max_repeats,
            config.shares,
            config.extra,
        )

    def draws_from(self, task: str) -> bool:
        """Whether examples of a task are drawn. The others have no number in an Order."""
        return task in self.epochs or task in self.extra or (task == GENERAL and self.general_ratio is not None)

    def drawn_from(self, tasks: Sequence[str]) -> list[int]:
        """Which of the examples with these tasks an Order is over."""
        return [index for index, task in enumerate(tasks) if self.draws_from(task)]

    def draws(self, sizes: Mapping[str, int]) -> list[dict[str, int]]:
        """For each epoch: task -> draws, general ones under `general`.

        `sizes` gives the examples of each task.
        """
        domain = {task: size for task, size in sizes.items() if task in self.epochs}
        last = {task: size for task, size in sizes.items() if task in self.extra}
        drawn = [self._of_tasks(domain, epoch) for epoch in range(_epochs(self.epochs, domain))]
        drawn += [_passes(self.extra, last, epoch) for epoch in range(_epochs(self.extra, last))]
        if GENERAL in self.epochs:
            return drawn
        return [{**epoch, GENERAL: self._general(sum(epoch.values()), sizes.get(GENERAL, 0))} for epoch in drawn]

    def _general(self, domain: int, there: int) -> int:
        return general_in_epoch(domain, there, self.general_ratio, self.general_max_repeats)

    def sizes(self, sizes: Mapping[str, int]) -> list[int]:
        """Examples in each epoch, general ones included."""
        return [sum(drawn.values()) for drawn in self.draws(sizes)]

    def _of_tasks(self, domain: Mapping[str, int], epoch: int) -> dict[str, int]:
        if self.mix.mode == "epochs":
            return _passes(self.epochs, {task: self._share(task, size) for task, size in domain.items()}, epoch)
        if not domain:
            return {}
        whole_epoch = self.mix.examples_per_epoch or sum(domain.values())
        total = _part(max(self.epochs[task] for task in domain), epoch, whole_epoch)
        return _shared(total, {task: self._weight(task, size) for task, size in domain.items()})

    def _share(self, task: str, size: int) -> int:
        """Examples of a pass: a part is rounded half up, and is at least one example."""
        return _part(self.shares.get(task, 1.0), 0, size)

    def _weight(self, task: str, size: int) -> float:
        """Unnormalised probability of a task (Raffel et al. 2020, T5, section 3.5.2)."""
        if not size:
            return 0.0
        if self.mix.mode == "weighted":
            return (self.weights or {}).get(task, 1.0)
        if self.mix.mode == "capped":
            return float(min(size, self.mix.cap))
        # the last digits of a power differ between machines: the one that plans and the one that trains must agree
        return round(pow(size, 1 / self.mix.temperature), 9)


def _exact(number: float) -> Fraction:
    """The number as it is written in run.yaml: 2.05 - 2 is 0.05, and sums do not depend on the order of the tasks."""
    return Fraction(str(number))


def _epochs(passes: Mapping[str, float], tasks: Mapping[str, int]) -> int:
    """Epochs that so many passes over these tasks take."""
    return ceil(max((passes[task] for task in tasks), default=0))


def _passes(passes: Mapping[str, float], sizes: Mapping[str, int], epoch: int) -> dict[str, int]:
    """An epoch e holds all of a task with at least e + 1 passes, and of one with less what is left of its last."""
    return {task: _part(passes[task], epoch, size) for task, size in sizes.items()}


def _part(passes: float, epoch: int, size: int) -> int:
    """Examples of `size` that epoch `epoch` (from 0) of so many passes holds: a part is rounded half up, at least 1."""
    part = min(Fraction(1), _exact(passes) - epoch)
    return 0 if part <= 0 or not size else max(1, floor(part * size + Fraction(1, 2)))


def _shared(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers in the proportion of the weights that add up to `total`: the largest remainders are rounded up."""
    parts = {task: _exact(weight) for task, weight in weights.items()}
    whole = sum(parts.values())
    if not whole:
        return dict.fromkeys(weights, 0)
    exact = {task: total * part / whole for task, part in parts.items()}
    found = {task: floor(number) for task, number in exact.items()}
    by_remainder = sorted(exact, key=lambda task: (found[task] - exact[task], task))
    for task in by_remainder[: total - sum(found.values())]:
        found[task] += 1
    return found


class Drawn(NamedTuple):
    """What an epoch holds of one task."""

    passes: int
    """How often every example of the task is used."""
    more: list[int]
    """Numbers of the examples that are used once more, drawn by seed and epoch."""


class Order:
    """The training order over examples numbered 0, 1, ... whose tasks are `tasks`: those that the mixture draws from.

    Batches are cut epoch by epoch, so the last one of an epoch may be smaller. With `lengths` (tokens of each example)
    the batches of an epoch are made of examples of similar length, see `_by_length`; what an epoch holds and the number
    of steps stay the same.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        mixture: Mixture,
        global_batch: int,
        seed: int,
        lengths: Sequence[int] | None = None,
    ) -> None:
        self._tasks = tasks
        self._lengths = lengths
        self._members: dict[str, list[int]] = {}
        for index, task in enumerate(tasks):
            self._members.setdefault(task, []).append(index)
        self._draws = mixture.draws({task: len(members) for task, members in self._members.items()})
        self._batch = global_batch
        self._seed = seed
        self.sizes = [sum(drawn.values()) for drawn in self._draws]
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

    def drawn(self, epoch: int) -> dict[str, Drawn]:
        """What an epoch holds, by task."""
        return {task: self._draw(epoch, task, wanted) for task, wanted in self._draws[epoch].items() if wanted}

    def members(self, epoch: int) -> list[int]:
        """The examples of an epoch, a repeated one once for each of its uses, in no particular order."""
        return [
            index
            for task, drawn in self.drawn(epoch).items()
            for index in self._members[task] * drawn.passes + drawn.more
        ]

    def _make_epoch(self, epoch: int) -> list[int]:
        order = self._shuffled(f"{epoch}/order", self.members(epoch))
        return order if self._lengths is None else self._by_length(epoch, order, self._lengths)

    def _by_length(self, epoch: int, shuffled: list[int], lengths: Sequence[int]) -> list[int]:
        """The examples of an epoch so that each global batch holds similar lengths, the batches in random order.

        Inside a length class (`_length_class`) tasks stay together, because they share their prompt, and otherwise the
        order is that of `shuffled`: which examples meet changes from epoch to epoch. The smaller batch stays the last
        of the epoch, but which lengths it holds is drawn. The batch with the longest example comes first: what does
        not fit into memory fails at once.
        """
        ordered = sorted(shuffled, key=lambda index: (_length_class(lengths[index]), self._tasks[index]))
        whole, rest = divmod(len(ordered), self._batch)
        # Never the longest ones: a smaller batch would need less memory than the whole batch that they could fill.
        place = self._number(f"{epoch}/rest") % max(1, whole) * self._batch if rest else 0
        smaller = ordered[place : place + rest]
        del ordered[place : place + rest]
        batches = [ordered[start : start + self._batch] for start in range(0, len(ordered), self._batch)]
        mixed = [batches[number] for number in self._shuffled(f"{epoch}/batches", list(range(whole)))]
        if mixed:
            longest = max(range(whole), key=lambda number: max(lengths[index] for index in mixed[number]))
            mixed.insert(0, mixed.pop(longest))
        return list(chain.from_iterable([*mixed, smaller]))

    def _draw(self, epoch: int, task: str, wanted: int) -> Drawn:
        members = self._members[task]
        passes, rest = divmod(wanted, len(members))
        return Drawn(passes, self._shuffled(f"{epoch}/{task}", members)[:rest] if rest else [])

    def _shuffled(self, purpose: str, items: list[int]) -> list[int]:
        """`items` in an order drawn from the seed and `purpose`; a repeated item gets a place for each of its uses."""
        uses: Counter[int] = Counter()
        keyed = []
        for item in items:
            keyed.append((self._digest(f"{purpose}/{item}/{uses[item]}"), item))
            uses[item] += 1
        return [item for _, item in sorted(keyed)]

    def _number(self, purpose: str) -> int:
        """A large number drawn from the seed and `purpose`."""
        return int.from_bytes(self._digest(purpose), "big")

    def _digest(self, text: str) -> bytes:
        return blake2b(f"{self._seed}/{text}".encode(), digest_size=16).digest()


def _length_class(length: int) -> int:
    """Lengths of one class differ by less than a sixteenth: little to pad, and many examples to choose from.

    The five leading binary digits and the number of those behind them: 16 classes between a length and its double.
    """
    behind = max(0, length.bit_length() - 5)
    return 16 * behind + (length >> behind)
