"""Geometry of the inline plots: numbers in, coordinates out. The template draws them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Geometry = dict[str, Any]

WIDTH = 720
LEFT, RIGHT, BOTTOM = 48, 16, 30
"""Margins of a plot with two axes."""
SMOOTH = 15
"""The smoothed curve is the mean over at most so many points around each."""


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values (1, 2, 2.5 or 5 times a power of ten) within [low, high], about so many."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def intervals(
    rows: Sequence[tuple[str, float | None, float | None, float | None]], *, zero: bool, bounded: bool = True
) -> Geometry | None:
    """Dots with intervals, one line per (name, value, low, high). `zero`: the axis holds 0, which is marked.

    `bounded`: values are 0 to 1. Lines about which nothing is known are left out; None if none is left.
    """
    return _intervals(
        [(a, b, c, d) for a, b, c, d in rows if b is not None and c is not None and d is not None], zero, bounded
    )


def _intervals(rows: Sequence[tuple[str, float, float, float]], zero: bool, bounded: bool) -> Geometry | None:
    if not rows:
        return None
    left, right, line = 160, 20, 34
    low, high = min(row[2] for row in rows), max(row[3] for row in rows)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = max(0.02 if bounded else 1e-6, 0.06 * (high - low))
    low, high = low - margin, high + margin
    if bounded and not zero:
        low, high = max(0.0, low), min(1.0, high)

    def x(value: float) -> float:
        return round(left + (value - low) / (high - low) * (WIDTH - left - right), 1)

    height = line * len(rows) + 30
    return {
        "width": WIDTH,
        "height": height,
        "bottom": height - 26,
        "ticks": [{"x": x(value), "value": value} for value in ticks(low, high)],
        "zero": x(0.0) if zero else None,
        "rows": [
            {"name": name, "y": 18 + line * i, "x": x(value), "x1": x(a), "x2": x(b), "value": value}
            for i, (name, value, a, b) in enumerate(rows)
        ],
    }


def curve(
    points: Sequence[tuple[float, float]], looks: Sequence[tuple[float, float]] = (), kept: int | None = None
) -> Geometry | None:
    """A line through (step, loss) and a smoothed one; None with fewer than two points.

    `looks`: (step, loss) at the dev set, a line of its own. `kept`: the step whose weights were kept, if there were
    looks to choose by.
    """
    points, looks = _finite(points), _finite(looks)
    if len(points) < 2:
        return None
    height = 260
    losses = [loss for _, loss in points]
    every = [loss for _, loss in (*points, *looks)]
    steps = [step for step, _ in (*points, *looks)]
    x = _Axis(min(steps), max(steps), LEFT, WIDTH - RIGHT)
    y = _Axis(min(0.0, *every), max(every) * 1.04 or 1.0, height - BOTTOM, 12)
    return {
        **_frame(height, x, y),
        "raw": _path(points, x, y),
        "smooth": _path([(step, value) for (step, _), value in zip(points, smooth(losses), strict=True)], x, y),
        "dev": _path(looks, x, y) if looks else None,
        "looks": [{"x": x(step), "y": y(loss), "step": step, "loss": loss} for step, loss in looks],
        "kept": {"x": x(kept), "step": kept, "anchor": "end" if x(kept) > WIDTH / 2 else "start"}
        if looks and kept is not None
        else None,
        "first": losses[0],
        "last": smooth(losses)[-1],
    }


def by_amount(
    points: Sequence[tuple[float, float, float, float]], levels: Sequence[tuple[str, float]] = ()
) -> Geometry | None:
    """A line through (examples, value, low, high) with intervals, and a level line per (name, value); values 0 to 1.

    None with fewer than two points.
    """
    if len(points) < 2:
        return None
    height = 230
    values = [value for _, _, low, high in points for value in (low, high)] + [value for _, value in levels]
    margin = max(0.02, 0.06 * (max(values) - min(values)))
    x = _Axis(0, max(examples for examples, *_ in points) * 1.03, LEFT, WIDTH - RIGHT)
    y = _Axis(max(0.0, min(values) - margin), min(1.0, max(values) + margin), height - BOTTOM, 12)
    return {
        **_frame(height, x, y),
        "line": _path([(examples, value) for examples, value, _, _ in points], x, y),
        "points": [
            {"x": x(examples), "y": y(value), "y1": y(low), "y2": y(high), "examples": examples, "value": value}
            for examples, value, low, high in points
        ],
        "levels": [{"name": name, "y": y(value), "value": value} for name, value in levels],
    }


@dataclass(frozen=True, slots=True)
class _Axis:
    """Values to coordinates."""

    low: float
    high: float
    start: float
    """Coordinate of `low`."""
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return round(self.start + (value - self.low) / span * (self.end - self.start), 1)


def _frame(height: int, x: _Axis, y: _Axis) -> Geometry:
    return {
        "width": WIDTH,
        "height": height,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "bottom": height - BOTTOM,
        "x_ticks": [{"x": x(value), "value": value} for value in ticks(x.low, x.high, 6)],
        "y_ticks": [{"y": y(value), "value": value} for value in ticks(y.low, y.high, 4)],
    }


def _path(points: Sequence[tuple[float, float]], x: _Axis, y: _Axis) -> str:
    return " ".join(f"{x(a)},{y(b)}" for a, b in points)


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(step, loss) for step, loss in points if math.isfinite(loss)]


def smooth(values: Sequence[float]) -> list[float]:
    """Mean over a centred window, shorter at the ends."""
    half = min(SMOOTH, max(1, len(values) // 8)) // 2
    windows = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def histogram(bins: Sequence[dict[str, int]], marks: Mapping[str, int | None] | None = None) -> Geometry | None:
    """Bars over bins of one width; None if there are none. `marks`: name -> value of a line, if it is on the axis."""
    if not bins:
        return None
    left, right, top, bottom, height = 48, 16, 34, 26, 206
    most = max(one["examples"] for one in bins) or 1
    wide = (WIDTH - left - right) / len(bins)
    every = max(1, math.ceil(len(bins) / 12))
    bars = []
    for i, one in enumerate(bins):
        tall = round((height - top - bottom) * one["examples"] / most, 1)
        bars.append(
            {
                "x": round(left + i * wide + 1, 1),
                "y": round(height - bottom - tall, 1),
                "width": round(max(1.0, wide - 2), 1),
                "height": tall,
                "examples": one["examples"],
                "from": one["from"],
                "to": one["to"],
                "tick": one["from"] if i % every == 0 else None,
            }
        )
    return {
        "width": WIDTH,
        "height": height,
        "left": left,
        "right": WIDTH - right,
        "bottom": height - bottom,
        "bars": bars,
        "marks": _marks(bins, marks or {}, left, WIDTH - right),
        "last": bins[-1]["to"],
    }


def _marks(bins: Sequence[dict[str, int]], marks: Mapping[str, int | None], left: int, right: int) -> list[Geometry]:
    """Lines at values within the bins; a name stands left of its line where there is no room at the right."""
    first, last = bins[0]["from"], bins[-1]["to"]
    found = []
    for name, value in marks.items():
        if value is not None and first <= value <= last:
            x = round(left + (value - first) / (last - first) * (right - left), 1)
            found.append({"name": name, "x": x, "value": value, "anchor": "end" if x > WIDTH / 2 else "start"})
    return found
