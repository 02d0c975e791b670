"""`sftjobs sizes`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sftjobs.cli.output import OUTPUT, console, show_json, table
from sftjobs.cli.release_options import CLUSTER

if TYPE_CHECKING:
    from sftjobs.advice.placing import Cluster
    from sftjobs.advice.sizes import Row

GIB = 2**30


@click.command("sizes")
@CLUSTER
@click.option("--gpu", "name", metavar="NAME", help="Kind of GPU, e.g. A100-80GB or L40S; docs/advice.md lists them.")
@click.option("--gpu-memory", type=click.FloatRange(min=0, min_open=True), metavar="GIB", help="Memory of one GPU.")
@click.option("--gpus", type=click.IntRange(min=1), metavar="N", help="GPUs of a node; default 1.")
@click.option("--nodes", type=click.IntRange(min=1), metavar="M", help="Nodes; default 1.")
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Tokens of the largest micro batch, padding included: one row of the longest example is the least.",
)
@click.option(
    "--precision",
    type=click.Choice(["bfloat16", "float32"]),
    default="bfloat16",
    show_default=True,
    help="train.precision.",
)
@OUTPUT
def command(
    cluster_file: Path | None,
    name: str | None,
    gpu_memory: float | None,
    gpus: int | None,
    nodes: int | None,
    tokens: int,
    precision: Literal["bfloat16", "float32"],
    form: str,
) -> None:
    """Show which model sizes fit the GPUs, with each method: how many GPUs it takes, with which ZeRO stage.

    \b
      sftjobs sizes --gpu A100-80GB --gpus 8       one node of eight
      sftjobs sizes --gpu-memory 24                one card of your own
      sftjobs sizes --cluster cluster.yaml         what its block gpu describes

    The sizes are those of Qwen2.5; other models of a size need about as much. `full` trains every weight, which takes
    16 bytes for each; `lora` (and rslora, lora_plus) and prefix_tuning (and prompt_tuning, p_tuning) keep the model
    frozen in 2 bytes, `qlora` in half a byte. What is left is for activations, which grow with --tokens. With full and
    lora ZeRO divides among the GPUs: stage 1 the optimizer, 2 gradients too, 3 weights too; with the other two each GPU
    has everything. A cell has the fewest GPUs that are enough and the memory of one of them; "of host" is what each
    node holds in its own memory instead, at about half the speed. 90 % of a GPU's memory is counted as usable.

    These are estimates, not promises: docs/advice.md has the formula and what it was compared with.
    """
    from sftjobs.advice.need import Setup
    from sftjobs.advice.sizes import METHODS, rows

    cluster = _cluster(cluster_file, name, gpu_memory, gpus, nodes)
    setup = Setup("lora", precision, encoded=tokens, scored=tokens, gpu=True)
    found = list(rows(cluster, setup))
    if form == "json":
        show_json([_as_json(row) for row in found])
        return
    shown = table("size", "parameters", *METHODS, right=("parameters",))
    for size in dict.fromkeys(row.size for row in found):
        cells = [row for row in found if row.size == size]
        shown.add_row(size, f"{cells[0].shape.parameters / 1e9:.1f} B", *[_cell(row) for row in cells])
    out = console()
    out.print(
        f"{cluster.nodes} node{'s' if cluster.nodes > 1 else ''} x {cluster.per_node} {cluster.gpu.name} of "
        f"{cluster.gpu.memory_gib:g} GiB, micro batches of {tokens:,} tokens, {precision}; memory of one GPU\n",
        soft_wrap=True,
    )
    out.print(shown)


def _cluster(
    file: Path | None, name: str | None, memory: float | None, gpus: int | None, nodes: int | None
) -> "Cluster":
    """What the options describe; those that are given win over cluster.yaml."""
    from sftjobs.advice.gpus import GPUS
    from sftjobs.spec.cluster_load import load_cluster
    from sftjobs.spec.gpu import GpuSpec

    there = (load_cluster(file).gpu if file else None) or GpuSpec(per_node=1)
    changes: dict[str, Any] = {"per_node": gpus, "nodes": nodes}
    if name is not None or memory is not None:  # another kind of GPU
        changes |= {"name": name or "", "memory_gib": memory or 0.0, "teraflops": 0.0}
    given = {key: value or None for key, value in changes.items() if value is not None}
    found = GpuSpec.model_validate(there.model_dump() | given).cluster()
    if found is None:
        known = ", ".join(GPUS)
        what = f"--gpu {name} is not known." if name else "which GPUs?"
        raise click.UsageError(
            f"{what} Give --gpu-memory GIB, --cluster with a block gpu, or --gpu with one of {known}"
        )
    return found


def _cell(row: "Row") -> str:
    placement = row.placement
    need = f"{placement.total / GIB:.0f} GiB"
    if not placement.fits:
        return f"no ({need})"
    stage = "" if placement.stage == 0 else f" ZeRO {placement.stage}"
    moved = f" + {placement.host / GIB:,.0f} GiB of host" if placement.host else ""
    return f"{placement.where}{stage}: {need}{moved}"


def _as_json(row: "Row") -> dict[str, Any]:
    placement = row.placement
    return {
        "size": row.size,
        "parameters": row.shape.parameters,
        "method": row.method,
        "fits": placement.fits,
        "gpus": placement.gpus,
        "nodes": placement.nodes,
        "zero_stage": placement.stage,
        "offload": placement.offload,
        "bytes": placement.total,
        "host_bytes": placement.host,
        "parts": placement.parts,
    }
