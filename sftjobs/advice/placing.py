"""On how many nodes, with which ZeRO stage: the least that fits."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sftjobs.advice.gpus import Gpu
from sftjobs.advice.memory import Offload, host, parts
from sftjobs.advice.need import NEVER_SHARED, Setup, training
from sftjobs.advice.shape import ModelShape

Engine = tuple[int, Offload]
DIVIDED: tuple[Engine, ...] = ((0, "none"), (1, "none"), (2, "none"), (3, "none"))
MOVED: tuple[Engine, ...] = ((3, "optimizer"), (3, "parameters"))


@dataclass(frozen=True)
class Cluster:
    """What there is to train on."""

    gpu: Gpu
    per_node: int
    nodes: int


@dataclass(frozen=True)
class Placement:
    """Where a training would run."""

    gpus: int
    """On all nodes."""
    nodes: int
    stage: int
    offload: Offload
    parts: dict[str, int]
    """Bytes of one GPU."""
    host: int
    """Bytes in the memory of a node for what is moved there."""
    fits: bool

    @property
    def total(self) -> int:
        """Bytes of one GPU."""
        return sum(self.parts.values())

    @property
    def engine(self) -> str:
        """As `train.zero` says it, in words."""
        moved = {"none": "", "optimizer": ", offload: optimizer", "parameters": ", offload: parameters"}
        return f"stage: {self.stage}{moved[self.offload]}"

    @property
    def where(self) -> str:
        """How many GPUs on how many nodes."""
        if self.nodes > 1:
            return f"{self.nodes} nodes x {self.gpus // self.nodes} GPUs"
        return f"{self.gpus} GPU{'s' if self.gpus > 1 else ''}"


def place(shape: ModelShape, setup: Setup, cluster: Cluster, moving: bool = True) -> Placement:
    """The first placement that fits; else the smallest, which does not.

    Few GPUs first, and on them the lower stages, because they send less; host memory last and with whole nodes, because
    it took half of the speed away where it was measured (docs/advice.md), and only if `moving`.
    """
    least: Placement | None = None
    for gpus, (stage, offload) in _candidates(setup, cluster, moving):
        case = replace(setup, ranks=gpus, stage=stage, offload=offload, gpu=True)
        load = training(shape, case)
        found, moved = parts(load), host(load) * min(gpus, cluster.per_node)
        fits = sum(found.values()) <= cluster.gpu.usable
        placement = Placement(gpus, -(-gpus // cluster.per_node), stage, offload, found, moved, fits)
        if fits:
            return placement
        if least is None or placement.total < least.total:
            least = placement
    assert least is not None
    return least


def _candidates(setup: Setup, cluster: Cluster, moving: bool) -> Iterator[tuple[int, Engine]]:
    for engines in (DIVIDED, MOVED) if moving else (DIVIDED,):
        for gpus in _counts(cluster):
            if engines is MOVED and gpus < cluster.per_node:
                continue
            for stage, offload in engines:
                if stage and setup.method in NEVER_SHARED:
                    continue
                if stage and gpus == 1 and offload == "none":  # nothing to divide by
                    continue
                yield gpus, (stage, offload)


def _counts(cluster: Cluster) -> list[int]:
    """Powers of two of a node's GPUs and all of them; then whole nodes."""
    inside = {*_powers(cluster.per_node), cluster.per_node}
    return sorted(inside | {nodes * cluster.per_node for nodes in {*_powers(cluster.nodes), cluster.nodes}})


def _powers(most: int) -> list[int]:
    """Powers of two up to `most`."""
    return [1 << power for power in range(most.bit_length())]
