"""A progress bar for bytes, on a terminal only."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from sftjobs.cli.output import console
from sftjobs.store.base import OnBytes


@contextmanager
def transfer_bar(what: str, total: int) -> Iterator[OnBytes]:
    """Yields the callback that moves the bar; safe from any thread."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    where = console(stderr=True)
    with Progress(*columns, console=where, transient=True, disable=not where.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda moved: progress.advance(task, moved)
