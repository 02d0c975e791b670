"""`sftjobs resume`."""

import sys
from pathlib import Path

import click

from sftjobs.cli.options import STORE
from sftjobs.cli.output import OUTPUT, console
from sftjobs.cli.release_options import CHART, CLUSTER, CONTEXT


@click.command("resume")
@click.argument("run")
@STORE
@CLUSTER
@CONTEXT
@CHART
@click.option(
    "--restart-stage",
    "restart",
    metavar="STAGE",
    help="Delete the result and the checkpoints of STAGE first, so that it begins at the beginning.",
)
@OUTPUT
def command(
    run: str,
    store_uri: str | None,
    cluster_file: Path | None,
    context: str | None,
    chart: str | None,
    restart: str | None,
    form: str,
) -> None:
    """Go on with RUN as it was planned, from the plan in the store: committed stages stay, checkpoints are used.

    --restart-stage is the way out of a checkpoint that another version or another number of ranks has left; every run
    that shares the stage loses what it has.

    Failures before are forgiven: each class of failure has its full number of tries again.

    A run on Kubernetes whose controller is to be here needs --cluster; `helm upgrade --set controller.again=N` goes
    on with one whose controller is in the cluster.
    """
    from sftjobs import runs
    from sftjobs.artifact import stages
    from sftjobs.cli.context import find_store, local_folder, stored_store_spec
    from sftjobs.cli.discard import stage_key
    from sftjobs.cli.execute import execute
    from sftjobs.cli.machine import refuse_missing_gpus
    from sftjobs.errors import DataError
    from sftjobs.release.owner import namespace_of

    store = find_store(store_uri)
    run_id = runs.find_run(store, run)
    owner = runs.read_owner(store, run_id)
    if restart is not None:
        kind, key = stage_key(store, run_id, restart)
        stages.discard(store, kind, key)
        console(stderr=True).print(f"stage {restart} begins at the beginning")
    namespace = namespace_of(owner)
    if namespace is not None:
        if cluster_file is None:
            raise DataError(_ways(run_id, owner.run, namespace))
        from sftjobs.cli.release import resume_on_cluster

        sys.exit(resume_on_cluster(store, run_id, namespace, cluster_file, context, chart, form))
    if cluster_file is not None or context is not None:
        message = f"run {run_id} is one of processes on {owner.host}; --cluster and --context mean nothing to it"
        raise click.UsageError(message)
    plan = runs.read_plan(store, run_id)
    began_in = Path(owner.spec_path).parent
    folder = began_in if began_in.is_dir() else Path.cwd()
    refuse_missing_gpus(plan, store)
    spec = stored_store_spec(runs.read_spec_text(store, run_id), store)
    console(stderr=True).print(f"run {run_id}, store {store.uri}")
    sys.exit(execute(store, spec, plan, run_id, local_folder(folder), form))


def _ways(run_id: str, release: str, namespace: str) -> str:
    upgrade = f"helm upgrade {release} CHART -n {namespace} --reuse-values --set controller.again=N"
    return (
        f"run {run_id} is release {release} in namespace {namespace}. If its controller is in the cluster, `{upgrade}` "
        f"tries again (N: one more than before); `sftjobs resume {run_id} --cluster cluster.yaml` is the controller "
        "itself"
    )
