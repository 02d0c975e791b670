"""`sftjobs report`."""

from pathlib import Path

import click

from sftjobs.cli.options import STORE
from sftjobs.cli.output import OUTPUT, console, show_json


@click.command("report")
@click.argument("run")
@STORE
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write report.html to this file.")
@OUTPUT
def command(run: str, store_uri: str | None, html: Path | None, form: str) -> None:
    """Print the comparison of a finished RUN and where report.html is."""
    import json

    from sftjobs import runs
    from sftjobs.cli.comparison import show_comparison
    from sftjobs.cli.context import find_store, local_folder
    from sftjobs.report.publish import read_report

    store = find_store(store_uri)
    run_id = runs.find_run(store, run)
    report = read_report(store, run_id)
    if html is not None:
        html.write_bytes(report.html)
    if form == "json":
        show_json(json.loads(report.json))
        return
    show_comparison(store, run_id, console(), local_folder(Path.cwd()))
