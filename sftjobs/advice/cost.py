"""Operations, time and money of a training."""

from dataclasses import dataclass

from sftjobs.advice.gpus import Gpu
from sftjobs.advice.need import Setup, added_parameters
from sftjobs.advice.shape import ModelShape

UTILISATION = 0.30
"""Share of a GPU's peak that a training reaches. Published: 28 % (torchtitan, Llama 3 8B, full, 8 x H100) to 43 %
(NeMo AutoModel, Qwen2.5 7B, LoRA, H100; torchtune, Llama 3.2 3B, full, packed, A100), all with rows of 4,096 tokens."""
UTILISATION_RANGE = (0.15, 0.43)
"""Short rows and small models reach less than was published, fused kernels with compilation the most."""
FLOAT32_SHARE = 1 / 16
"""Of the 16-bit peak: A100 19.5 of 312, H100 67 of 989."""
CPU_GIGAFLOPS = {"float32": 80.0, "bfloat16": 120.0}
"""Of one thread in a whole training step: SmolLM2-135M with LoRA on an AMD EPYC with AVX-512 and bfloat16 instructions
(docs/performance.md, training with a common prompt)."""


@dataclass(frozen=True)
class Work:
    """What a training goes through, over all epochs."""

    encoded: float
    """Tokens that go through the layers: a prompt that a micro batch shares counts once in it."""
    scored: float
    """Tokens with loss."""
    length: float
    """Mean tokens of an example."""


def operations(shape: ModelShape, setup: Setup, work: Work) -> float:
    """Floating-point operations: 2 for each weight and token forwards, 2 for the gradient of its input, 2 for its own.

    6 N per token of a model with N weights (Kaplan et al. 2020, arXiv 2001.08361, section 2.1), 4 N where they are
    frozen, and 2 N more where activations are computed again. The head works at scored positions only. Causal attention
    has two products over half of the tokens before it, and twice that backwards.
    """
    passes = (6 if setup.method == "full" else 4) + (2 if setup.checkpointing else 0)
    added = 0 if setup.method == "full" else 6 * added_parameters(shape, setup)
    attention = 3 * 2 * 2 * shape.layers * shape.query_width * work.length / 2
    layers = passes * shape.linear_parameters + added + attention
    return work.encoded * layers + passes * work.scored * shape.embedding


def gpu_speed(gpu: Gpu, precision: str) -> float:
    """Operations per second of one GPU, as assumed."""
    return gpu.teraflops * 1e12 * UTILISATION * (FLOAT32_SHARE if precision == "float32" else 1)


def cpu_speed(threads: int, precision: str) -> float:
    """Operations per second of so many threads, as measured with another model on another machine."""
    return threads * CPU_GIGAFLOPS[precision] * 1e9
