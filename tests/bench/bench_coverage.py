"""How often the intervals of the comparison hold the truth, and how often its verdict is a false alarm.

    python -m tests.bench.bench_coverage [--sets 2000] [--draws 2000]

95 % intervals; `shown` is the share of sets with the verdict better or worse, a false alarm where the truth is 0.
One thread; prints the tables of docs/comparison.md.
"""

import argparse
import time
from collections.abc import Callable

from tests.support import coverage
from tests.support.coverage import Covered

SIZES = (50, 200, 1000)
RATES = ((0.5, 0.5, 0.5), (0.5, 0.7, 0.5), (0.9, 0.9, 0.5), (0.9, 0.95, 0.8), (0.97, 0.98, 0.5), (0.02, 0.02, 0.0))
"""Chance of being right before and after, and how much they correlate."""
MACROS = ((2, 0, 0.8, 0.85), (8, 0, 0.5, 0.8), (8, 1, 0.8, 0.8), (20, 1, 0.6, 0.7), (8, 0, 0.99, 0.99))
"""Labels, skew of their frequencies, accuracy before and after."""
SEEDS = ((0.5, 0.6, 0.1), (0.9, 0.9, 0.1), (0.5, 0.5, 0.3), (0.98, 0.98, 0.2), (0.97, 0.98, 0))
"""Chance of being right before and after, and how much seeds vary."""


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--sets", type=int, default=2_000)
    arguments.add_argument("--draws", type=int, default=2_000)
    given = arguments.parse_args()
    sets, draws = given.sets, given.draws
    started = time.process_time()
    table("right or wrong", SIZES, RATES, lambda n, case: coverage.binary(n, *case, sets, draws))
    # A draw of 1,000 distinct numbers takes long: a quarter of the sets.
    few = {1000: sets // 4}
    table(
        "a number per example", SIZES, coverage.MEANS, lambda n, case: coverage.mean(n, case, few.get(n, sets), draws)
    )
    table("macro F1", SIZES[:2], MACROS, lambda n, case: coverage.macro(n, *case, sets, draws))
    for count in (2, 3, 5):
        table(f"{count} seeds", SIZES, SEEDS, lambda n, case, count=count: coverage.seeds(count, n, *case, sets))
    print(f"\n{sets} sets, {draws} draws: {time.process_time() - started:.0f} s of CPU")


def table(title: str, sizes: tuple[int, ...], cases: object, run: Callable[..., Covered]) -> None:
    """One table: a row for each case; covered, shown and median width for each size."""
    print(f"\n| {title} |" + "".join(f" n = {n}: covered, shown, width |" for n in sizes))
    print("|---|" + "---|" * len(sizes))
    for case in cases:  # type: ignore[attr-defined]
        cells = []
        for n in sizes:
            found = run(n, case)
            cells.append(f" {100 * found.covered:.1f} %, {100 * found.shown:.1f} %, {found.width:.3f} |")
        name = case if isinstance(case, str) else ", ".join(f"{one:g}" for one in case)
        print(f"| {name} |" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
