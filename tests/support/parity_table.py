"""Writes the table of docs/distributed.md: how far trainings on several ranks are from the one on one rank.

python -m tests.support.parity_table            docs/distributed.md
"""

import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import get_args

from sftjobs.spec.train import MethodName
from tests.support.dist_cases import ENGINES, EVERY, Trained, Variant, World, train_all
from tests.support.parity import Distance, distance
from tests.support.program_runner import REPOSITORY

PAGE = REPOSITORY / "docs" / "distributed.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end of measured -->\n"


def rows(world: World, trained: Trained) -> Iterator[str]:
    """A row for each engine and method with the largest difference over its variants."""
    yield "| method | engine | ranks x micro batch x accumulation, layout | loss | gradient norm | weights |\n"
    yield "|---|---|---|---|---|---|\n"
    methods, engines = get_args(MethodName), list(ENGINES)
    by_engine = sorted(EVERY, key=lambda one: (methods.index(one.method), engines.index(one.engine)))
    for (method, engine), group in groupby(by_engine, key=lambda one: (one.method, one.engine)):
        members = list(group)
        apart = [
            distance(trained[one.name].outcome, trained[one.reference.name].outcome, world.inputs(one.layout)["model"])
            for one in members
        ]
        yield f"| `{method}` | {engine} | {_shapes(members)} | {_largest(apart)} |\n"


def _shapes(members: list[Variant]) -> str:
    """Layouts by ranks, micro batch and accumulation."""
    layouts: dict[str, list[str]] = {}
    for one in sorted(members, key=lambda one: (one.ranks, -one.micro)):
        layouts.setdefault(f"{one.ranks}x{one.micro}x{one.accumulation}", []).append(one.shown_layout)
    return ", ".join(f"{shape} {'/'.join(sorted(found, reverse=True))}" for shape, found in layouts.items())


def _largest(apart: list[Distance]) -> str:
    return " | ".join(
        f"{max(getattr(one, name) for one in apart):.1e}" for name in ("loss", "gradient_norm", "weights")
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        table = "".join(rows(world, train_all(world, Path(folder), variants=EVERY)))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{table}{END}{after}", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
