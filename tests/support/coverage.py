"""Made-up test sets whose true difference is known: how often do intervals hold it, how often is a verdict wrong?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from jobs.eval.statistics import MacroF1, binary_interval, mcnemar, mean_interval, over_seeds, sign_flip

Floats = NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Covered:
    """Of many made-up test sets."""

    covered: float
    """Share whose interval holds the truth."""
    shown: float
    """Share of which p and interval both say that there is a difference."""
    width: float
    """Median width of the interval."""


def latent(n: int, rho: float, random: np.random.Generator, models: int = 2) -> Floats:
    """Normal scores of `models` on n examples that correlate by rho: what is hard for one is hard for the other."""
    shared = random.normal(size=n) * np.sqrt(rho)
    return shared + random.normal(size=(models, n)) * np.sqrt(1 - rho)


def binary(n: int, before: float, after: float, rho: float, sets: int, draws: int, seed: int = 0) -> Covered:
    """Two models that are right with chances `before` and `after`; latent correlation rho."""
    random = np.random.default_rng(seed)
    cuts = stats.norm.ppf([before, after])[:, None]

    @cache
    def judged(wins: int, losses: int) -> tuple[float, float, float]:
        interval = binary_interval(wins, losses, n, draws, CONFIDENCE, seed=wins * 10_007 + losses)
        return interval.low, interval.high, mcnemar(wins, losses)

    found = []
    for _ in range(sets):
        one, other = latent(n, rho, random) < cuts
        found.append(judged(int((other & ~one).sum()), int((one & ~other).sum())))
    return _summary(np.array(found), after - before)


def mean(n: int, kind: str, sets: int, draws: int, seed: int = 0) -> Covered:
    """Differences of scores, by a distribution of MEANS."""
    draw, truth, bounded = MEANS[kind]
    random = np.random.default_rng(seed)
    found = []
    for number in range(sets):
        differences = draw(random, n)
        interval = mean_interval(differences, draws, CONFIDENCE, number, bounded=bounded)
        p = sign_flip(differences, draws, number) if interval.excludes_zero else 1.0
        found.append((interval.low, interval.high, p))
    return _summary(np.array(found), truth)


def _some(share: float, sizes: Callable[[np.random.Generator, int], Floats]) -> Callable[..., Floats]:
    """0 on all examples but a share."""
    return lambda random, n: np.where(random.random(n) < share, sizes(random, n), 0.0)


MEANS: dict[str, tuple[Callable[[np.random.Generator, int], Floats], float, bool]] = {
    "normal": (lambda random, n: random.normal(0.05, 0.2, n), 0.05, True),
    "no difference, normal": (lambda random, n: random.normal(0, 0.2, n), 0.0, True),
    "exponential": (lambda random, n: random.exponential(0.2, n), 0.2, False),
    "no difference, skewed": (lambda random, n: random.exponential(0.2, n) - 0.2, 0.0, False),
    "lognormal (a loss)": (lambda random, n: random.lognormal(-1, 1, n), float(np.exp(-0.5)), False),
    "of 20 %, skewed": (_some(0.2, lambda random, n: random.beta(1, 5, n)), 0.2 / 6, True),
    "of 10 %": (_some(0.1, lambda random, n: random.uniform(0, 1, n)), 0.05, True),
    "of 4 %": (_some(0.04, lambda random, n: random.uniform(-0.5, 1, n)), 0.01, True),
    "tiny, large on 5 %": (
        lambda random, n: np.where(random.random(n) < 0.05, random.uniform(0.5, 1, n), random.normal(0, 0.01, n)),
        0.0375,
        True,
    ),
}
"""Name -> (draw differences, their mean, whether scores lie in 0 to 1)."""


def macro(n: int, labels: int, skew: float, before: float, after: float, sets: int, draws: int) -> Covered:
    """Two models that say the right one of `labels` labels, whose frequency falls as 1 / rank^skew."""
    random = np.random.default_rng(2)

    def world(size: int) -> Floats:
        shares = np.arange(1, labels + 1, dtype=float) ** -skew
        expected = random.choice(labels, size=size, p=shares / shares.sum())
        cuts = stats.norm.ppf([before, after])[:, None]
        right = latent(size, 0.5, random) < cuts
        same = random.random(size) < 0.5  # half of the mistakes are the same
        wrong = random.integers(0, labels, (2, size))
        wrong[1] = np.where(same, wrong[0], wrong[1])
        return np.stack([expected, *np.where(right, expected, wrong)], axis=1)

    def compared(table: Floats) -> MacroF1:
        return MacroF1([(str(a), str(b), str(c)) for a, b, c in table])

    truth = compared(world(400_000)).difference
    found = []
    for number in range(sets):
        one = compared(world(n))
        interval = mean_interval(one.contributions, draws, CONFIDENCE, number)
        found.append((interval.low, interval.high, one.permutation(draws, number) if interval.excludes_zero else 1.0))
    return _summary(np.array(found), truth)


def seeds(count: int, n: int, before: float, after: float, spread: float, sets: int) -> Covered:
    """A model before and `count` after it, whose latent skill varies from seed to seed by `spread`."""
    random = np.random.default_rng(4)
    truth = float(stats.norm.cdf(stats.norm.ppf(after) / np.sqrt(1 + spread**2))) - before
    found = []
    for _ in range(sets):
        skill = latent(n, 0.5, random, count + 1)
        skill[1:] += random.normal(0, spread, (count, 1))
        right = skill < stats.norm.ppf([before] + [after] * count)[:, None]
        judged = over_seeds(right[1:].astype(float) - right[0])
        interval = judged.interval(CONFIDENCE)
        found.append((interval.low, interval.high, judged.p()))
    return _summary(np.array(found), truth)


def _summary(found: Floats, truth: float) -> Covered:
    """Of rows (low, high, p)."""
    low, high, p = found.T
    covered = (low - 1e-12 <= truth) & (truth <= high + 1e-12)
    shown = (p < 1 - CONFIDENCE) & ((low > 0) | (high < 0))
    return Covered(float(covered.mean()), float(shown.mean()), float(np.median(high - low)))
