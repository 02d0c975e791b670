"""`sftjobs run`."""

import sys
from pathlib import Path

import click

from sftjobs.cli.options import RUN_FILE
from sftjobs.cli.output import OUTPUT, console


@click.command("run")
@RUN_FILE
@click.option("--backend", type=click.Choice(["process"]), default="process", show_default=True,
              help="Where stages run: processes on this machine.")  # fmt: skip
@OUTPUT
def command(file: Path, backend: str, form: str) -> None:
    """Run the chain: data, train, eval, report.

    What the store holds already is not made again. Cut off at any point, the same command goes on where it was.
    Ctrl-C once lets the running stage save; twice ends it at once.

    \b
    Example:
      sftjobs run examples/intent/run.yaml
    """
    import time

    from sftjobs import runs
    from sftjobs.cli.context import owner, plan_file, refuse_second_run, refuse_several_nodes, store_spec
    from sftjobs.cli.execute import execute
    from sftjobs.store.probe import probe

    planned = plan_file(file)
    refuse_several_nodes(planned)
    with console(stderr=True).status("looking at the store"):
        probe(planned.store)
    who = owner(planned.spec.name, backend, file, time.time())
    refuse_second_run(planned.store, planned.spec.name, runs.run_id_of(planned.plan, who))
    run_id = runs.create_run(planned.store, planned.plan, planned.loaded.text, who)
    console(stderr=True).print(f"run {run_id}, store {planned.store.uri}")
    sys.exit(execute(planned.store, store_spec(planned.spec), planned.plan, run_id, planned.local, form))
