"""Mistakes in data files, collected: a person sees many at once, by file and line."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sftjobs.errors import DataError

LIMIT = 20
"""Problems of one kind that are kept; more are only counted."""


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One mistake."""

    kind: str
    """`file`, `encoding`, `json`, `csv`, `column`, `messages`, `answer` or `label`."""
    file: str
    line: int | None
    column: int | None
    """Character in the line, from 1."""
    message: str
    """Value, rule and way out."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{place}: {self.message}"


Report = Callable[[DataProblem], None]
"""What a reader does with a problem."""


class Problems:
    """Collects problems, at most LIMIT of a kind."""

    def __init__(self) -> None:
        self.kept: list[DataProblem] = []
        self.found: Counter[str] = Counter()

    def add(self, problem: DataProblem) -> None:
        self.found[problem.kind] += 1
        if self.found[problem.kind] <= LIMIT:
            self.kept.append(problem)

    @property
    def total(self) -> int:
        return sum(self.found.values())

    def lines(self) -> list[str]:
        """One line per problem that was kept, and one for those that were only counted."""
        lines = [str(problem) for problem in self.kept]
        return lines + [f"and {n - LIMIT:,} more of kind {kind}" for kind, n in self.found.items() if n > LIMIT]

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(problem) for problem in self.kept]

    def stop_if_any(self) -> None:
        """Raises DataError with every problem that was kept."""
        if self.total:
            head = f"{self.total:,} problem{'s' if self.total > 1 else ''} in the data, nothing was made of it"
            raise DataError("\n  ".join([head, *self.lines()]))
