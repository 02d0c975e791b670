"""Intervals and tests against scipy, closed forms and simulation."""

import math
import os

import numpy as np
import pytest
from scipy import stats

from jobs.eval.statistics import (
    binary_interval,
    false_discovery,
    mcnemar,
    minimum_detectable_difference,
    wilson,
)


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (47, 200), (171, 200), (5000, 10_000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_equals_scipy(right: int, n: int, confidence: float) -> None:
    theirs = stats.binomtest(right, n).proportion_ci(confidence, method="wilson")
    ours = wilson(right, n, confidence)
    assert ours.low == pytest.approx(theirs.low, abs=1e-12)
    assert ours.high == pytest.approx(theirs.high, abs=1e-12)


@pytest.mark.parametrize(("wins", "losses"), [(1, 0), (3, 1), (7, 131), (10, 10), (25, 12)])
def test_mcnemar_equals_the_sum_of_the_binomial(wins: int, losses: int) -> None:
    n, few = wins + losses, min(wins, losses)
    tail = sum(math.comb(n, k) for k in range(few + 1)) / 2**n
    assert mcnemar(wins, losses) == pytest.approx(min(1.0, 2 * tail), rel=1e-12)
    assert mcnemar(wins, losses) == mcnemar(losses, wins)


def test_models_that_agree_everywhere_have_p_1() -> None:
    assert mcnemar(0, 0) == 1.0


@pytest.mark.parametrize(("wins", "losses", "n"), [(30, 10, 200), (131, 7, 200), (3, 1, 150), (0, 0, 50)])
def test_the_bootstrap_of_right_and_wrong_is_near_its_closed_form(wins: int, losses: int, n: int) -> None:
    found = binary_interval(wins, losses, n, 40_000, 0.95, seed=1)
    # Bonett and Price 2012: a Wald interval of the table with one more win and one more loss.
    p1, p2 = (wins + 1) / (n + 2), (losses + 1) / (n + 2)
    half = 1.959964 * math.sqrt((p1 + p2 - (p1 - p2) ** 2) / (n + 2))
    assert found.low == pytest.approx(p1 - p2 - half, abs=0.008)
    assert found.high == pytest.approx(p1 - p2 + half, abs=0.008)


def test_the_same_seed_gives_the_same_interval() -> None:
    first = binary_interval(20, 9, 100, 10_000, 0.95, seed=7)
    assert binary_interval(20, 9, 100, 10_000, 0.95, seed=7) == first
    assert binary_interval(20, 9, 100, 10_000, 0.95, seed=8) != first


def test_the_detectable_difference_of_the_planning_table() -> None:
    assert minimum_detectable_difference(30, 200, 0.95) == pytest.approx(0.0767, abs=0.0002)
    assert minimum_detectable_difference(150, 1_000, 0.95) == pytest.approx(0.0343, abs=0.0002)
    assert minimum_detectable_difference(0, 50, 0.95) > 0
    assert minimum_detectable_difference(2, 2, 0.95) == 1.0


def test_the_detectable_difference_is_found_about_as_often_as_it_says() -> None:
    n, discordant = 400, 100
    difference = minimum_detectable_difference(discordant, n, 0.95)
    share = discordant / n
    random = np.random.default_rng(5)
    table = [(share + difference) / 2, (share - difference) / 2, 1 - share]
    draws = random.multinomial(n, table, size=500)
    found = np.mean([mcnemar(int(wins), int(losses)) < 0.05 for wins, losses, _ in draws])
    assert 0.72 < found < 0.88


def test_false_discovery_equals_the_textbook() -> None:
    assert false_discovery([]) == []
    assert false_discovery([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])


TABLES = [(60, (0.15, 0.10, 0.75)), (150, (0.6, 0.03, 0.37)), (200, (0.02, 0.01, 0.97))]
"""Examples, and the chances of a win, a loss and a tie."""


@pytest.mark.parametrize(("n", "table"), TABLES)
def test_the_interval_covers_the_true_difference(n: int, table: tuple[float, float, float]) -> None:
    covered = coverage(n, table, sets=300, draws=2_000)
    assert 0.91 <= covered <= 1.0


def coverage(n: int, table: tuple[float, float, float], sets: int, draws: int) -> float:
    """Share of made-up test sets whose interval holds the truth. `table`: chances of win, loss, tie."""
    random = np.random.default_rng(11)
    truth = table[0] - table[1]
    hits = 0
    for number, (wins, losses, _) in enumerate(random.multinomial(n, table, size=sets)):
        interval = binary_interval(int(wins), int(losses), n, draws, 0.95, seed=number)
        hits += interval.low - 1e-12 <= truth <= interval.high + 1e-12
    return hits / sets


@pytest.mark.skipif("SFTJOBS_SLOW_TESTS" not in os.environ, reason="takes minutes; set SFTJOBS_SLOW_TESTS=1")
@pytest.mark.parametrize(("n", "table"), TABLES)
def test_the_interval_covers_the_true_difference_in_2000_sets(n: int, table: tuple[float, float, float]) -> None:
    covered = coverage(n, table, sets=2_000, draws=10_000)
    print(f"n {n}, table {table}: covered {covered:.4f}")
    assert 0.94 <= covered <= 0.999
