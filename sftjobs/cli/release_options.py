"""Options of the verbs that work on a cluster."""

from pathlib import Path

import click

CLUSTER = click.option(
    "--cluster",
    "cluster_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="cluster.yaml: what the platform team says about the cluster (docs/cluster-yaml.md).",
)
NAMESPACE = click.option("--namespace", metavar="NAME", help="Namespace; default: that of the context.")
CONTEXT = click.option("--context", metavar="NAME", help="Context of the kubeconfig; default: the current one.")
CHART = click.option(
    "--chart",
    envvar="SFTJOBS_CHART",
    metavar="CHART",
    help="Chart sft-run, as helm takes it; default: the one of this version, or SFTJOBS_CHART.",
)
