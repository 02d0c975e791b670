"""The table at the end of a run: base, tuned, difference, interval, p; and where the report is."""

import json
from pathlib import Path

from rich.console import Console

from sftjobs.cli.output import table
from sftjobs.report.build import summary
from sftjobs.report.publish import html_path, read_report
from sftjobs.store.base import Store


def show_comparison(store: Store, run_id: str, out: Console, local: Path) -> None:
    """Print the verdict, the comparison and the path of report.html."""
    found = summary(json.loads(read_report(store, run_id).json))
    shown = table(*found.columns, right=tuple(found.columns[1:]))
    for row in found.rows:
        shown.add_row(*row)
    out.print()
    out.print(found.verdict, style="bold")
    out.print()
    out.print(shown)
    out.print()
    out.print(f"report: {html_path(store, run_id, local)}", soft_wrap=True)
