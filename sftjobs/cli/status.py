"""`sftjobs status`."""

import time

import click

from sftjobs.cli.options import STORE
from sftjobs.cli.output import OUTPUT, console, duration, show_json, table


@click.command("status")
@click.argument("run")
@STORE
@click.option("--watch", is_flag=True, help="Show it again every two seconds until the run has ended.")
@click.option("--stalled-after", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS",
              help="Without a heartbeat for so long a running stage is called stalled.")  # fmt: skip
@OUTPUT
def command(run: str, store_uri: str | None, watch: bool, stalled_after: float, form: str) -> None:
    """Show where RUN is, from the store alone: it needs neither the machine nor the cluster that runs it.

    `stalled`: no heartbeat for a minute, though one comes every 5 s. `interrupted`: nobody controls the run;
    `sftjobs resume` goes on with it.
    """
    from sftjobs import runs
    from sftjobs.cli.context import find_store
    from sftjobs.cli.progress import describe
    from sftjobs.controller.status import RunState, run_state

    store = find_store(store_uri)
    run_id = runs.find_run(store, run)

    def show(state: RunState) -> None:
        if form == "json":
            show_json(state.model_dump(mode="json"))
            return
        out = console()
        by = f", controlled by {state.controller}" if state.controller else ""
        out.print(f"run {state.run_id}: {state.state}{by}")
        shown = table("stage", "state", "attempts", "time", "", right=("attempts", "time"))
        for stage in state.stages:
            ended = stage.finished or (time.time() if stage.started else None)
            spent = duration(ended - stage.started) if ended and stage.started else ""
            detail = describe(stage.heartbeat, spent) if stage.heartbeat and stage.state == "running" else stage.message
            shown.add_row(stage.name, stage.state, str(stage.attempts), spent, detail.partition("\n")[0])
        out.print(shown)
        if state.verdict is not None and state.verdict.message:
            out.print(f"{state.verdict.outcome}: {state.verdict.message}")

    state = run_state(store, run_id, stalled_after_s=stalled_after)
    show(state)
    while watch and state.state in ("running", "pending"):
        time.sleep(2)
        state = run_state(store, run_id, stalled_after_s=stalled_after)
        show(state)
