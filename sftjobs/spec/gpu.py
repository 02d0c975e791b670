"""The part of cluster.yaml about GPUs, for advice."""

from typing import Annotated

from pydantic import Field

from sftjobs.advice.gpus import Gpu, find_gpu
from sftjobs.advice.placing import Cluster
from sftjobs.model import Document
from sftjobs.spec.numbers import Positive


class GpuSpec(Document):
    """The GPUs of the cluster, for the advice of `sftjobs check` and `sftjobs sizes` only; no pod depends on it."""

    name: str | None = None
    """Kind, e.g. `A100-80GB`, `H100`, `L40S`; memory and speed of those that docs/advice.md lists are known."""
    memory_gib: Annotated[float, Field(gt=0)] | None = None
    """Memory of one GPU, GiB; unset: by `name`."""
    teraflops: Annotated[float, Field(gt=0)] | None = None
    """Peak of dense bfloat16 products of one GPU, 10^12 operations per second; unset: by `name`."""
    per_node: Positive = 8
    """GPUs of a node."""
    nodes: Positive = 1
    """Nodes that one run may have."""
    price_per_hour: Annotated[float, Field(ge=0)] | None = None
    """Price of one GPU for an hour, in `currency`."""
    currency: Annotated[str, Field(min_length=1, max_length=10)] = "USD"
    """Unit of `price_per_hour`."""

    def kind(self) -> Gpu | None:
        """The GPU, as far as it is known; None if its memory is not."""
        known = find_gpu(self.name) if self.name else None
        if known is None and self.memory_gib is None:
            return None
        return Gpu(
            name=self.name or f"GPU with {self.memory_gib:g} GiB",
            memory_gib=self.memory_gib or (known.memory_gib if known else 0),
            teraflops=self.teraflops or (known.teraflops if known else 0),
            bfloat16=known.bfloat16 if known else True,
        )

    def cluster(self) -> Cluster | None:
        """What there is to train on; None if the kind is not known."""
        kind = self.kind()
        return None if kind is None else Cluster(kind, self.per_node, self.nodes)
