"""What each epoch will hold, for `sftjobs check`; training reports it for what it has trained."""

from typing import Any

from jobs.data.table import Table
from sftjobs.plan.configs import MixtureConfig
from sftjobs.plan.mixture import mixture_table
from sftjobs.plan.sampler import Mixture


def mixture_rows(table: Table, mixture: MixtureConfig | None, seed: int) -> list[dict[str, Any]]:
    """The rows of `mixture_table` for the training examples that are kept; empty if the mixture is not known."""
    if mixture is None:
        return []
    rows = table.kept("train")
    tasks = [table.tasks[code] for code in table["task"][rows].tolist()]
    tokens, supervised = table.tokens[rows].tolist(), table.supervised[rows].tolist()
    return mixture_table(tasks, tokens, supervised, Mixture.of(mixture), seed)
