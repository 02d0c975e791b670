"""What the other modules share: an interval, quantiles, draws with replacement."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

POWER = 0.8
"""The chance of seeing a difference that is there, at which the minimum detectable difference is stated."""
BLOCK = 2_000_000
"""Counts drawn at once by the bootstrap: bounds the memory to some 50 MiB."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def z_of(confidence: float) -> float:
    """Half-width of a two-sided interval in standard errors."""
    return float(stats.norm.ppf(0.5 + confidence / 2))


def z_power(power: float = POWER) -> float:
    """What a true difference has to be larger than that half-width, in standard errors."""
    return float(stats.norm.ppf(power))


def fewest_wins(confidence: float) -> int:
    """Wins without a loss that an exact test needs before it shows anything: 6 at 95 %, as 2 / 2^6 < 0.05."""
    return math.floor(1 - math.log2(1 - confidence)) + 1


def wilson(successes: float, n: int, confidence: float) -> Interval:
    """Interval of a rate (Wilson 1927, JASA 22:209): never outside 0 to 1, and right for rates near them.

    `successes` of a mean of scores from 0 to 1 is their sum.
    """
    assert 0 <= successes <= n and n > 0
    z = z_of(confidence)
    rate = successes / n
    center = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return Interval(max(0.0, center - half), min(1.0, center + half))


def resamples(counts: Counts, draws: int, random: np.random.Generator) -> Iterator[Floats]:
    """How often each distinct value occurs when examples are drawn with replacement, (draws of a block, values).

    Only these counts matter for a statistic of the values, so a draw is one multinomial vector.
    """
    n = int(counts.sum())
    step = max(1, BLOCK // len(counts))
    for start in range(0, draws, step):
        yield random.multinomial(n, counts / n, size=min(step, draws - start)).astype(np.float64)


def quantiles(values: Floats, confidence: float) -> tuple[float, float]:
    """Both ends of the middle `confidence` of the values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def flips(counts: Counts, draws: int, random: np.random.Generator) -> Iterator[Floats]:
    """How many examples of each distinct value have both models swapped, each with a chance of 1/2."""
    step = max(1, BLOCK // len(counts))
    often = counts > 1  # a coin is cheaper than a binomial
    for start in range(0, draws, step):
        found = random.integers(0, 2, size=(min(step, draws - start), len(counts)), dtype=np.int8) * (counts == 1.0)
        found[:, often] = random.binomial(counts[often], 0.5, size=(len(found), int(often.sum())))
        yield found


def p_of(as_extreme: int, draws: int) -> float:
    """p of a Monte Carlo test with the data themselves as one draw: never 0 (Phipson and Smyth 2010)."""
    return (as_extreme + 1) / (draws + 1)
