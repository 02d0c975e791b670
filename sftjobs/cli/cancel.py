"""`sftjobs cancel`."""

import click

from sftjobs.cli.options import STORE
from sftjobs.cli.output import OUTPUT, tell


@click.command("cancel")
@click.argument("run")
@STORE
@OUTPUT
def command(run: str, store_uri: str | None, form: str) -> None:
    """Ask RUN to stop: its controller lets running stages save a checkpoint, then ends the run as cancelled.

    Without a controller the request waits in the store; the next `run` or `resume` carries it out.
    """
    from sftjobs import runs
    from sftjobs.cli.context import find_store
    from sftjobs.controller.status import controller_of
    from sftjobs.errors import DataError
    from sftjobs.release.owner import namespace_of

    store = find_store(store_uri)
    run_id = runs.find_run(store, run)
    if not runs.request_cancel(store, run_id):
        raise DataError(f"run {run_id} has ended already; `sftjobs status {run_id}` shows how")
    holder = controller_of(store, run_id)
    owner = runs.read_owner(store, run_id)
    namespace = namespace_of(owner)
    resume = f"`sftjobs resume {run_id}{' --cluster cluster.yaml' if namespace else ''}`"
    line = f"run {run_id}: recorded; no controller is working on it, {resume} carries it out"
    if namespace:
        line += f", `helm uninstall {owner.run} -n {namespace}` takes its jobs away"
    if holder:
        line = f"run {run_id}: asked its controller ({holder}) to cancel; `sftjobs status {run_id} --watch` follows"
    tell(form, [line], {"run_id": run_id, "requested": True, "controller": holder})
