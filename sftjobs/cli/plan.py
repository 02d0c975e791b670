"""`sftjobs plan`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sftjobs.cli.options import RUN_FILE
from sftjobs.cli.output import console, show_json, table
from sftjobs.cli.release_options import CLUSTER, NAMESPACE

if TYPE_CHECKING:
    from sftjobs.attempts import Intent
    from sftjobs.cli.context import Planned
    from sftjobs.spec.cluster import ClusterSpec

FORM = click.Choice(["text", "json", "yaml"])


@click.command("plan")
@RUN_FILE
@click.option("-o", "--output", "form", type=FORM, default="text", help="text, json, or yaml: every Kubernetes object.")
@CLUSTER
@NAMESPACE
def command(file: Path, form: str, cluster_file: Path | None, namespace: str | None) -> None:
    """Print stages, keys, what is cached and the derived numbers. Runs nothing and needs no cluster.

    With -o yaml the Jobs are those of --cluster; without it, of a cluster that is all defaults.
    """
    from sftjobs.cli.context import plan_file
    from sftjobs.explain import explain
    from sftjobs.plan.preview import preview
    from sftjobs.spec.cluster import ClusterSpec
    from sftjobs.spec.cluster_load import load_cluster

    if form != "yaml" and (cluster_file or namespace):
        raise click.UsageError("--cluster and --namespace change what -o yaml prints; add -o yaml")
    cluster = load_cluster(cluster_file) if cluster_file else ClusterSpec()
    planned = plan_file(file)
    intents = preview(planned.plan, planned.store)
    if form == "yaml":
        _show_objects(planned, intents, cluster, namespace)
        return
    plans = {intent.plan.stage: intent.plan for intent in intents}
    explanations = explain(planned.plan, planned.store)
    if form == "json":
        stages = [{**plans[e.stage].model_dump(mode="json"), "cached": e.cached, "why": e.text} for e in explanations]
        show_json({"run": planned.plan.name, "store": planned.store.uri, "stages": stages})
        return
    shown = table("stage", "key", "state")
    for explanation in explanations:
        shown.add_row(explanation.stage, plans[explanation.stage].key[:12], explanation.text)
    out = console()
    out.print(f"run {planned.plan.name}, store {planned.store.uri}\n")
    out.print(shown)
    out.print()
    for line in _arithmetic(planned, intents):
        out.print(line)


def _arithmetic(planned: "Planned", intents: "list[Intent]") -> list[str]:
    """Derived numbers and the reasons of what was decided; estimates are marked `~`."""
    from sftjobs.cli.plan_view import alike_lines, training_lines
    from sftjobs.plan.committed import committed
    from sftjobs.plan.configs import DataCounts
    from sftjobs.plan.estimate import numbers

    data = committed(planned.plan, planned.store).get("data")
    counts = DataCounts.model_validate(data.manifest.counts) if data is not None else None
    trainings = training_lines(numbers(planned.spec, planned.plan, counts))
    stages = [intent.plan for intent in intents]
    before, after = ([stage for stage in stages if stage.kind == kind] for kind in ("data", "eval"))
    return [*alike_lines(before), *trainings, *alike_lines(after)]


def _show_objects(planned: "Planned", intents: "list[Intent]", cluster: "ClusterSpec", namespace: str | None) -> None:
    import yaml

    from sftjobs.cli.context import store_spec
    from sftjobs.objects import JobSettings, build_job
    from sftjobs.objects.settings import store_in_cluster

    class _NoAliases(yaml.SafeDumper):
        """Labels appear twice in a Job; people and tools want them written out."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    store = store_in_cluster(store_spec(planned.spec), cluster)
    settings = JobSettings(store=store, cluster=cluster, namespace=namespace or "default")
    jobs = [build_job(intent, settings) for intent in intents]
    print(yaml.dump_all(jobs, Dumper=_NoAliases, sort_keys=False, allow_unicode=True), end="")
