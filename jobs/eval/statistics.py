"""Intervals and tests for one model and for two models on the same examples. Rates are shares of 1."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

POWER = 0.8
"""The chance of seeing a difference that is there, at which the minimum detectable difference is stated."""
BLOCK = 2_000_000
"""Counts drawn at once by the bootstrap: bounds the memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def wilson(successes: int, n: int, confidence: float) -> Interval:
    """Interval of a rate (Wilson 1927, JASA 22:209): never outside 0 to 1, and right for rates near them."""
    assert 0 <= successes <= n and n > 0
    z = _z(confidence)
    rate = successes / n
    center = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return Interval(max(0.0, center - half), min(1.0, center + half))


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p of McNemar's test: given that two models differ on an example, is either right as often?

    Examples on which they agree carry no information about that. 1 if they agree everywhere.
    """
    if wins + losses == 0:
        return 1.0
    return float(stats.binomtest(wins, wins + losses, 0.5).pvalue)


def paired_bootstrap(differences: ArrayLike, draws: int, confidence: float, seed: int) -> Interval:
    """Percentile interval of the mean of paired differences, by drawing examples with replacement.

    Only how often each value occurs matters, so a draw is one multinomial vector over the distinct values.
    Differences of right and wrong (-1, 0, 1) are drawn from a table with one more win and one more loss (Bonett and
    Price 2012, J. Educ. Behav. Stat. 37:479): else few differences would give an interval that is too short, and
    none at all an interval of length 0.
    """
    values, counts = np.unique(np.asarray(differences, dtype=np.float64), return_counts=True)
    assert len(values) > 0, "no differences"
    if set(values.tolist()) <= {-1.0, 0.0, 1.0}:
        found = dict(zip(values.tolist(), counts.tolist(), strict=True))
        values = np.array([-1.0, 0.0, 1.0])
        counts = np.array([found.get(-1.0, 0) + 1, found.get(0.0, 0), found.get(1.0, 0) + 1])
    means = _draw_means(values, counts, draws, np.random.default_rng(seed))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _draw_means(
    values: NDArray[np.float64], counts: NDArray[np.int64], draws: int, random: np.random.Generator
) -> NDArray[np.float64]:
    n = int(counts.sum())
    step = max(1, BLOCK // len(values))
    blocks = [
        random.multinomial(n, counts / n, size=min(step, draws - start)) @ values / n for start in range(0, draws, step)
    ]
    return np.concatenate(blocks)


def minimum_detectable_difference(discordant: int, n: int, confidence: float, power: float = POWER) -> float:
    """The true difference that a paired test on `n` examples would show with probability `power`.

    `discordant` examples, of which exactly one model is right, are expected; at least one is assumed. The standard
    error of the difference is then about sqrt(discordant) / n (Connor 1987, Biometrics 43:207, without its
    correction for the difference itself, so a little too large).
    """
    error = math.sqrt(max(1, discordant)) / n
    return min(1.0, (_z(confidence) + float(stats.norm.ppf(power))) * error)


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """Adjusted p of many slices (Benjamini and Hochberg 1995): the share of false alarms among those shown."""
    if not p_values:
        return []
    return [float(p) for p in stats.false_discovery_control(list(p_values))]


def _z(confidence: float) -> float:
    return float(stats.norm.ppf(0.5 + confidence / 2))
