"""Geometry of the inline plots: numbers in, coordinates out. The template draws them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Geometry = dict[str, Any]

WIDTH = 720
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


def intervals(rows: Sequence[tuple[str, float, float, float]], *, zero: bool) -> Geometry:
    """Dots with intervals, one line per (name, value, low, high). `zero`: the axis holds 0, which is marked."""
    left, right, line = 160, 20, 34
    low, high = min(row[2] for row in rows), max(row[3] for row in rows)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = max(0.02, 0.06 * (high - low))
    low, high = low - margin, high + margin
    if not zero:
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


def curve(points: Sequence[tuple[float, float]]) -> Geometry | None:
    """A line through (step, loss) and a smoothed one; None with fewer than two points."""
    points = [(step, loss) for step, loss in points if math.isfinite(loss)]
    if len(points) < 2:
        return None
    left, right, top, bottom, height = 48, 16, 12, 30, 260
    steps, losses = [step for step, _ in points], [loss for _, loss in points]
    low, high = min(0.0, min(losses)), max(losses) * 1.04 or 1.0
    first, last = steps[0], steps[-1]

    def x(step: float) -> float:
        return round(left + (step - first) / (last - first) * (WIDTH - left - right), 1)

    def y(loss: float) -> float:
        return round(height - bottom - (loss - low) / (high - low) * (height - top - bottom), 1)

    def path(values: Sequence[float]) -> str:
        return " ".join(f"{x(step)},{y(value)}" for step, value in zip(steps, values, strict=True))

    return {
        "width": WIDTH,
        "height": height,
        "left": left,
        "right": WIDTH - right,
        "bottom": height - bottom,
        "x_ticks": [{"x": x(step), "value": step} for step in ticks(first, last, 6)],
        "y_ticks": [{"y": y(loss), "value": loss} for loss in ticks(low, high, 4)],
        "raw": path(losses),
        "smooth": path(smooth(losses)),
        "first": losses[0],
        "last": smooth(losses)[-1],
    }


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
