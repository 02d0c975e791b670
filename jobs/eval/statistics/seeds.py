"""Several trainings with other seeds: the difference is as sure as the number of seeds and of examples allow.

Seeds and examples are crossed random effects: every model of S seeds answers every one of n examples. A difference has
three parts, seed + example + the rest, with mean squares A, B and E (two-way analysis of variance, one value per cell).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from jobs.eval.statistics.base import POWER, Interval, z_power
from jobs.eval.statistics.mean import guard

LEAST_P = 1e-12


@dataclass(frozen=True, slots=True)
class Seeds:
    """What `over_seeds` found."""

    difference: float
    seed_error: float
    """Standard error of the mean over seeds that the choice of seeds brings, chance within the examples included."""
    example_error: float
    """That of the choice of examples."""
    seeds: int
    examples: int

    def half(self, confidence: float) -> float:
        """Half-width: sqrt(t(S - 1)^2 A + t(n - 1)^2 max(0, B - E)) / sqrt(S n).

        Each part has the quantile of its own degrees of freedom. With one quantile for both, by Satterthwaite, two or
        three seeds cover 88 to 93 % instead of 95 %: few seeds are often alike by chance.
        """
        tail = 0.5 + confidence / 2
        by_seed = float(stats.t.ppf(tail, self.seeds - 1)) * self.seed_error
        by_example = float(stats.t.ppf(tail, self.examples - 1)) * self.example_error
        return math.hypot(by_seed, by_example)

    def interval(self, confidence: float, *, bounded: bool = True) -> Interval:
        """Of the mean difference of a training with any seed, on any examples of the kind of those held out."""
        low, high = self.difference - self.half(confidence), self.difference + self.half(confidence)
        return Interval(max(-1.0, low), min(1.0, high)) if bounded else Interval(low, high)

    def p(self) -> float:
        """Two-sided: 1 - the confidence at which the interval just touches 0."""
        if self.difference == 0 or self.half(LEAST_P) >= abs(self.difference):
            return 1.0
        if self.half(1 - LEAST_P) <= abs(self.difference):
            return LEAST_P
        return 1 - float(
            optimize.brentq(lambda confidence: self.half(confidence) - abs(self.difference), LEAST_P, 1 - LEAST_P)
        )

    def detectable(self, confidence: float, *, bounded: bool = True, power: float = POWER) -> float:
        """The true difference that as many seeds and examples would show with about probability `power`."""
        found = self.half(confidence) + z_power(power) * math.hypot(self.seed_error, self.example_error)
        return min(1.0, found) if bounded else found


def over_seeds(values: ArrayLike, *, bounded: bool = True) -> Seeds:
    """Differences (S, n) of at least two seeds; row s holds what each example adds to the difference of seed s.

    Two examples are added on which all seeds agree, as to one model: see `mean.guard`.
    """
    given = np.asarray(values, dtype=np.float64)
    seeds, examples = given.shape
    assert seeds > 1 and examples > 0
    of_seed = given.mean(axis=1)
    distance = guard(given.mean(axis=0), bounded)
    table = np.column_stack([given, of_seed + distance, of_seed - distance])
    n = examples + 2
    difference, of_example = float(of_seed.mean()), table.mean(axis=0)
    rest = table - of_seed[:, None] - of_example[None] + difference
    a = n * float(((of_seed - difference) ** 2).sum()) / (seeds - 1)
    b = seeds * float(((of_example - difference) ** 2).sum()) / (n - 1)
    e = float((rest**2).sum()) / ((seeds - 1) * (n - 1))
    return Seeds(
        difference, math.sqrt(a / (seeds * n)), math.sqrt(max(0.0, b - e) / (seeds * n)), seeds, max(2, examples)
    )
