"""How the CLI talks: text for people (colours only on a terminal; NO_COLOR is respected) or JSON for programs."""

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from sftjobs.errors import SftError, SpecError

OUTPUT = click.option(
    "-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", help="text for people, or JSON."
)
"""The option that every verb with a result has."""


class PipeConsole(Console):
    """When the reader of results has gone, there is nothing left to do; when that of progress has gone, there is."""

    def on_broken_pipe(self) -> None:
        """Silent from now on. Raises BrokenPipeError on standard output, which ends the command."""
        self.quiet = True
        if self.file is sys.stdout:
            raise BrokenPipeError


def console(stderr: bool = False) -> Console:
    """A rich console that neither guesses markup in user text nor breaks lines when it is not a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 160
    return PipeConsole(
        file=stream, highlight=False, markup=False, emoji=False, width=width, soft_wrap=not stream.isatty()
    )


def show_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True))


def tell(form: str, lines: list[str], value: Any) -> None:
    """The outcome of a verb: lines for people, or one JSON document."""
    if form == "json":
        show_json(value)
        return
    out = console()
    for line in lines:
        out.print(line, soft_wrap=True)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A plain table; columns named in `right` are aligned to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def show_error(error: SftError) -> None:
    """The message of an error on standard error; problems of a spec are counted and listed."""
    where = console(stderr=True)
    if isinstance(error, SpecError):
        count = len(error.problems)
        where.print(f"{count} problem{'s' if count != 1 else ''}:", style="bold red")
        for problem in error.problems:
            where.print(f"  {problem}")
        return
    where.print(f"error: {error}", style="red")


def duration(seconds: float | None) -> str:
    """`3 s`, `2 min 5 s`, `1 h 2 min`."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def size(bytes_: int) -> str:
    """`12 B`, `3.4 MiB`."""
    value = float(bytes_)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
