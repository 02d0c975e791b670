"""How numbers and plots of the report come out."""

import math
from itertools import pairwise

import pytest

from sftjobs.report import numbers, plots


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (numbers.percent(0.855), "85.5 %"),
        (numbers.percent(None), "-"),
        (numbers.points(-0.02), "−2.0"),
        (numbers.points(0.621), "+62.1"),
        (numbers.p_value(0.00003), "< 0.0001"),
        (numbers.p_value(0.0031), "0.0031"),
        (numbers.p_value(0.213), "0.21"),
        (numbers.p_value(None), "-"),
        (numbers.count(12_345), "12,345"),
        (numbers.duration(9.44), "9.4 s"),
        (numbers.duration(125), "2 min 05 s"),
        (numbers.duration(7_320), "2 h 02 min"),
        (numbers.duration(None), "-"),
        (numbers.size(123_456), "120.6 KiB"),
        (numbers.size(5 * 1024**3), "5.0 GiB"),
        (numbers.value(True), "yes"),
        (numbers.value(0.0005), "0.0005"),
        (numbers.value(3208), "3,208"),
    ],
)
def test_numbers_for_people(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.18, 0.9), (-0.03, 0.7), (1, 96), (0, 2.47), (0.5, 0.5001)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = plots.ticks(low, high)
    assert 2 <= len(found) <= 11
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)
    steps = {round(b - a, 9) for a, b in pairwise(found)}
    assert len(steps) == 1
    mantissa = steps.pop() / 10 ** math.floor(math.log10(found[1] - found[0]) + 1e-9)
    assert any(math.isclose(mantissa, good, rel_tol=1e-6) for good in (1, 2, 2.5, 5))


def test_an_axis_of_one_value_has_one_tick() -> None:
    assert plots.ticks(3, 3) == [3]


def test_a_plot_of_differences_marks_zero() -> None:
    plot = plots.intervals([("base", 0.6, 0.5, 0.7)], zero=True)
    row = plot["rows"][0]
    assert plot["zero"] < row["x1"] < row["x"] < row["x2"] < plot["width"]


def test_a_plot_of_rates_stays_within_0_and_1() -> None:
    plot = plots.intervals([("base", 0.0, 0.0, 0.02), ("tuned", 1.0, 0.98, 1.0)], zero=False)
    assert plot["zero"] is None
    assert {tick["value"] for tick in plot["ticks"]} <= {0, 0.2, 0.4, 0.6, 0.8, 1}


def test_a_curve_skips_what_is_no_number_and_needs_two_points() -> None:
    assert plots.curve([(1, 2.0), (2, math.nan)]) is None
    curve = plots.curve([(1, 2.0), (2, math.nan), (3, 1.0)])
    assert curve is not None
    assert curve["raw"].count(",") == 2


def test_smoothing_keeps_a_constant_and_the_length() -> None:
    assert plots.smooth([2.0] * 40) == [2.0] * 40


def test_no_lengths_no_histogram() -> None:
    assert plots.histogram([]) is None
