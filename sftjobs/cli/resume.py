"""`sftjobs resume`."""

import sys
from pathlib import Path

import click

from sftjobs.cli.options import STORE
from sftjobs.cli.output import OUTPUT, console


@click.command("resume")
@click.argument("run")
@STORE
@OUTPUT
def command(run: str, store_uri: str | None, form: str) -> None:
    """Go on with RUN as it was planned, from the plan in the store: committed stages stay, checkpoints are used.

    Failures before are forgiven: each class of failure has its full number of tries again.
    """
    from sftjobs import runs
    from sftjobs.cli.context import find_store, local_folder, stored_store_spec
    from sftjobs.cli.execute import execute

    store = find_store(store_uri)
    run_id = runs.find_run(store, run)
    plan = runs.read_plan(store, run_id)
    began_in = Path(runs.read_owner(store, run_id).spec_path).parent
    folder = began_in if began_in.is_dir() else Path.cwd()
    spec = stored_store_spec(runs.read_spec_text(store, run_id), store)
    console(stderr=True).print(f"run {run_id}, store {store.uri}")
    sys.exit(execute(store, spec, plan, run_id, local_folder(folder), form))
