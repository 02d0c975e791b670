"""Published figures of GPUs: memory, and products of 16-bit numbers per second without sparsity, of the data sheets."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU, or of whatever else is trained on."""

    name: str
    memory_gib: float
    teraflops: float
    """Peak of dense bfloat16 products, 10^12 operations per second."""
    bfloat16: bool = True
    """Whether it computes bfloat16 itself."""

    @property
    def usable(self) -> int:
        """Bytes for tensors: the CUDA context, NCCL and what the allocator cannot use have a tenth."""
        return int(self.memory_gib * 2**30 * USABLE)


USABLE = 0.9
GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("T4", 15, 65, bfloat16=False),
        Gpu("V100-16GB", 16, 125, bfloat16=False),
        Gpu("V100-32GB", 32, 125, bfloat16=False),
        Gpu("A10G", 22.5, 70),
        Gpu("A10", 22.5, 125),
        Gpu("L4", 22.5, 121),
        Gpu("RTX-4090", 24, 165),
        Gpu("A6000", 48, 155),
        Gpu("L40S", 45, 362),
        Gpu("A100-40GB", 40, 312),
        Gpu("A100-80GB", 80, 312),
        Gpu("A800-80GB", 80, 312),
        Gpu("H20", 96, 148),
        Gpu("H800", 80, 989),
        Gpu("H100", 80, 989),
        Gpu("H200", 141, 989),
        Gpu("B200", 180, 2250),
    )
}
"""By name. T4 and V100 have no bfloat16; their figure is that of float16."""


def find_gpu(name: str) -> Gpu | None:
    """The kind that a name means, whatever its case and punctuation: `NVIDIA-A100-SXM4-80GB` is A100-80GB.

    None if it is none of these, or more than one fits.
    """
    words = _words(name)
    fitting = [gpu for gpu in GPUS.values() if _words(gpu.name) <= words]
    most = max((len(_words(gpu.name)) for gpu in fitting), default=0)
    best = [gpu for gpu in fitting if len(_words(gpu.name)) == most]
    return best[0] if len(best) == 1 else None


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", name.lower()))
