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
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda moved: progress.advance(task, moved)
