"""Which of the published model sizes fit, with each method."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sftjobs.advice.need import Setup
from sftjobs.advice.placing import Cluster, Placement, place
from sftjobs.advice.shape import ModelShape

METHODS = ("full", "lora", "qlora", "prefix_tuning")
"""One of each kind: the relatives of LoRA need what it needs, but for DoRA's activations."""


def _qwen(layers: int, hidden: int, heads: int, kv: int, inner: int, vocabulary: int, tied: bool) -> ModelShape:
    return ModelShape(layers, hidden, heads, kv, hidden // heads, inner, vocabulary, tied)


PUBLISHED = {
    "0.5B": _qwen(24, 896, 14, 2, 4864, 151_936, True),
    "1.5B": _qwen(28, 1536, 12, 2, 8960, 151_936, True),
    "3B": _qwen(36, 2048, 16, 2, 11_008, 151_936, True),
    "7B": _qwen(28, 3584, 28, 4, 18_944, 152_064, False),
    "14B": _qwen(48, 5120, 40, 8, 13_824, 152_064, False),
    "32B": _qwen(64, 5120, 40, 8, 27_648, 152_064, False),
    "72B": _qwen(80, 8192, 64, 8, 29_568, 152_064, False),
}
"""The shapes of Qwen2.5 (arXiv 2412.15115, table 1, and its config.json files)."""


@dataclass(frozen=True)
class Row:
    """One size with one method."""

    size: str
    method: str
    shape: ModelShape
    placement: Placement


def rows(cluster: Cluster, setup: Setup, methods: tuple[str, ...] = METHODS) -> Iterator[Row]:
    """Every size with every method; `setup` says micro batch and precision."""
    for size, shape in PUBLISHED.items():
        for method in methods:
            yield Row(size, method, shape, place(shape, replace(setup, method=method), cluster))


def largest(cluster: Cluster, setup: Setup) -> str | None:
    """The largest size that fits with the method of `setup`; None if not even the smallest does."""
    fitting = [name for name, shape in PUBLISHED.items() if place(shape, setup, cluster).fits]
    return fitting[-1] if fitting else None
