"""`sftjobs run`."""

import sys
from pathlib import Path

import click

from sftjobs.cli.options import RUN_FILE
from sftjobs.cli.output import OUTPUT, console
from sftjobs.cli.release_options import CHART, CLUSTER, CONTEXT, NAMESPACE

BACKENDS = click.Choice(["process", "kubernetes"])


@click.command("run")
@RUN_FILE
@click.option("--backend", type=BACKENDS, default="process", show_default=True,
              help="Where stages run: processes on this machine, or Jobs of a cluster.")  # fmt: skip
@CLUSTER
@NAMESPACE
@CONTEXT
@CHART
@OUTPUT
def command(
    file: Path,
    backend: str,
    cluster_file: Path | None,
    namespace: str | None,
    context: str | None,
    chart: str | None,
    form: str,
) -> None:
    """Run the chain: data, train, eval, report.

    What the store holds already is not made again. Cut off at any point, the same command goes on where it was.
    Ctrl-C once lets the running stage save; twice ends it at once.

    With --backend kubernetes the chart is installed (by helm, as a release with the name of the run) without its
    controller: this command is the controller. The release stays when it ends.

    \b
    Examples:
      sftjobs run examples/intent/run.yaml
      sftjobs run run.pushed.yaml --backend kubernetes --cluster cluster.yaml
    """
    if backend == "kubernetes":
        from sftjobs.cli.release import run_on_cluster

        if cluster_file is None:
            raise click.UsageError("--backend kubernetes needs --cluster FILE; docs/cluster-yaml.md explains the file")
        sys.exit(run_on_cluster(file, cluster_file, namespace, context, chart, form))
    for option, value in (("--cluster", cluster_file), ("--namespace", namespace), ("--context", context)):
        if value is not None:
            raise click.UsageError(f"{option} means nothing to processes on this machine; add --backend kubernetes")
    sys.exit(_run_here(file, form))


def _run_here(file: Path, form: str) -> int:
    import time

    from sftjobs import runs
    from sftjobs.cli.context import owner, plan_file, refuse_nodes_sharing_gpus, refuse_second_run, store_spec
    from sftjobs.cli.execute import execute
    from sftjobs.cli.machine import note_on_threads, refuse_missing_gpus
    from sftjobs.store.probe import probe

    planned = plan_file(file)
    refuse_nodes_sharing_gpus(planned.loaded)
    with console(stderr=True).status("looking at the store"):
        probe(planned.store)
    refuse_missing_gpus(planned.plan, planned.store)
    who = owner(planned.spec.name, "process", file, time.time())
    refuse_second_run(planned.store, planned.spec.name, runs.run_id_of(planned.plan, who))
    run_id = runs.create_run(planned.store, planned.plan, planned.loaded.text, who)
    console(stderr=True).print(f"run {run_id}, store {planned.store.uri}")
    note = note_on_threads(planned.plan, planned.store)
    if note is not None:
        console(stderr=True).print(note)
    return execute(planned.store, store_spec(planned.spec), planned.plan, run_id, planned.local, form)
