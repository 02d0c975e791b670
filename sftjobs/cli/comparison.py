"""The table at the end of a run: base, tuned, difference, interval, p; and where the report is."""

import json
from pathlib import Path

from rich.console import Console

from sftjobs.cli.output import table
from sftjobs.report.build import summary
from sftjobs.report.publish import html_path, read_report
from sftjobs.store.base import Store


def show_comparison(store: Store, run_id: str, out: Console, local: Path) -> None:
    """Print the comparison, the verdict in words and the path of report.html."""
    report = json.loads(read_report(store, run_id).json)
    rows = summary(report)
    shown = table(*(rows[0] if rows else ("", "")), right=("",))
    for name, value in rows[1:]:
        shown.add_row(name, value)
    out.print()
    out.print(shown)
    out.print()
    out.print(report["text"] or "nothing was compared", style="bold", soft_wrap=True)
    out.print(f"report: {html_path(store, run_id, local)}", soft_wrap=True)
