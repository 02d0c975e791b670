"""`sftjobs ls`."""

import time

import click

from sftjobs.cli.output import OUTPUT, console, show_json, table


@click.command("ls")
@click.argument("store_uri", required=False, metavar="[STORE]", envvar="SFTJOBS_STORE_URI")
@OUTPUT
def command(store_uri: str | None, form: str) -> None:
    """List the runs of a store, newest last."""
    from sftjobs import runs
    from sftjobs.cli.context import find_store
    from sftjobs.controller.status import run_state

    store = find_store(store_uri)
    states = [run_state(store, record.run_id) for record in runs.list_runs(store)]
    if form == "json":
        show_json([state.model_dump(mode="json", exclude={"stages"}) for state in states])
        return
    shown = table("run", "state", "stages", "owner", "begun", right=("stages",))
    for state in states:
        done = sum(stage.state in ("succeeded", "skipped") for stage in state.stages)
        begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(state.owner.created))
        who = f"{state.owner.user}@{state.owner.host}"
        shown.add_row(state.run_id, state.state, f"{done}/{len(state.stages)}", who, begun)
    console().print(shown if states else f"no runs in {store.uri}")
