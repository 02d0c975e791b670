"""`sftjobs explain`."""

from pathlib import Path

import click

from sftjobs.cli.options import RUN_FILE
from sftjobs.cli.output import OUTPUT, console, show_json, table


@click.command("explain")
@RUN_FILE
@click.option("--stage", help="Only this stage.")
@OUTPUT
def command(file: Path, stage: str | None, form: str) -> None:
    """Say which field makes a stage miss the cache, against the most similar result in the store."""
    from sftjobs.cli.context import plan_file
    from sftjobs.explain import explain

    planned = plan_file(file)
    names = [node.name for node in planned.plan.stages]
    if stage is not None and stage not in names:
        raise click.UsageError(f"no stage {stage!r} in this run; stages: {', '.join(names)}")
    found = [e for e in explain(planned.plan, planned.store) if stage in (None, e.stage)]
    if form == "json":
        show_json(
            [
                {
                    "stage": e.stage,
                    "cached": e.cached,
                    "waits_for": e.waits_for,
                    "nearest": e.nearest,
                    "nearest_run": e.nearest_run,
                    "nearest_stage": e.nearest_stage,
                    "changed": [{"field": field, "there": old, "here": new} for field, old, new in e.changed],
                }
                for e in found
            ]
        )
        return
    shown = table("stage", "why")
    for explanation in found:
        shown.add_row(explanation.stage, explanation.text)
    console().print(shown)
