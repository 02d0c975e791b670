"""The memory of a model that is trained by a method: from its sizes, before anything is opened."""

from dataclasses import dataclass, replace
from typing import Literal

from sftjobs.advice.memory import CHUNK, CHUNK_ON_GPU, Offload, Training
from sftjobs.advice.shape import ModelShape

LORA_FAMILY = frozenset({"lora", "rslora", "dora", "lora_plus", "periodic_lora", "qlora"})
PROMPT_LEARNING = frozenset({"prompt_tuning", "p_tuning", "prefix_tuning"})
NEVER_SHARED = frozenset({"qlora", "periodic_lora", *PROMPT_LEARNING})
"""Methods that DeepSpeed's ZeRO does not divide; each rank has everything (docs/distributed.md)."""
NF4_BITS = 4.127
"""Of a frozen weight: 4, and what double quantisation needs (Dettmers et al. 2023, arXiv 2305.14314, section 3)."""
NF4_TABLES = 4 * (16 + 256 + 1)
"""Bytes that bitsandbytes has beside each matrix: its 16 levels, the 256 of the second quantisation, and the mean."""


@dataclass(frozen=True)
class Setup:
    """How a model is trained."""

    method: str
    """One of `train.method`."""
    precision: Literal["float32", "bfloat16"] = "float32"
    encoded: int = 4096
    """Tokens of the largest micro batch."""
    scored: int = 4096
    """Those with loss."""
    accumulated: bool = False
    ranks: int = 1
    stage: int = 0
    """ZeRO stage."""
    offload: Offload = "none"
    gpu: bool = False
    rank: int = 16
    """Of a low-rank update."""
    target: Literal["all-linear", "attention"] = "all-linear"
    dropout: float = 0.0
    virtual_tokens: int = 20
    """Of prompt learning."""
    checkpointing: bool = False
    mixed: bool | None = None
    """Trained weights in 16 bits with a float32 copy; None: with ZeRO in bfloat16."""


def training(shape: ModelShape, setup: Setup) -> Training:
    """What `sftjobs.advice.memory` counts."""
    full = setup.method == "full"
    added = 0 if full else added_parameters(shape, setup)
    bfloat16 = setup.precision == "bfloat16"
    mixed = bool(setup.stage and bfloat16) if setup.mixed is None else setup.mixed
    frozen = 0 if full else frozen_bytes(shape, setup)
    return Training(
        weights=frozen + (2 if mixed else 4) * (shape.parameters if full else added),
        trainable=shape.parameters if full else added,
        layers=shape.layers,
        hidden=shape.hidden,
        query_width=shape.query_width,
        kv_width=shape.kv_width,
        inner=shape.inner,
        head_norms=shape.head_norms,
        vocabulary=shape.vocabulary,
        encoded=setup.encoded,
        scored=setup.scored,
        frozen=not full,
        bfloat16=bfloat16,
        ranks=setup.ranks,
        beside=beside(shape, setup),
        rounded=rounded_bytes(shape, setup),
        unpacked=max(ins * outs for ins, outs in shape.linears()) * _width(setup) if setup.method == "qlora" else 0,
        head=shape.embedding if full else 0,
        tied=shape.tied,
        accumulated=setup.accumulated,
        chunk=CHUNK_ON_GPU if setup.gpu else CHUNK,
        checkpointing=setup.checkpointing,
        mixed=mixed,
        stage=setup.stage,
        offload=setup.offload,
    )


def frozen_bytes(shape: ModelShape, setup: Setup) -> int:
    """Of the base model below what is trained: in the format of the arithmetic, for qlora in 4 bits but for embeddings.

    Weights that change while they are frozen are float32 in any case.
    """
    if setup.method == "periodic_lora":
        return shape.parameters * 4
    if setup.method != "qlora":
        return shape.parameters * _width(setup)
    rest = shape.parameters - shape.linear_parameters
    tables = shape.layers * len(shape.linears()) * NF4_TABLES
    return round(shape.linear_parameters * NF4_BITS / 8) + tables + rest * _width(setup)


def rounded_bytes(shape: ModelShape, setup: Setup) -> int:
    """Autocast's copies of the matrices of frozen float32 weights: those of layers and of the head."""
    if setup.method != "periodic_lora" or setup.precision != "bfloat16":
        return 0
    return 2 * (shape.linear_parameters + shape.embedding)


def _width(setup: Setup) -> int:
    """Bytes of a number in the format of the arithmetic."""
    return 2 if setup.precision == "bfloat16" else 4


def added_parameters(shape: ModelShape, setup: Setup) -> int:
    """Parameters that a method other than full adds and trains (docs/methods.md has the formulas)."""
    hidden, tokens = shape.hidden, setup.virtual_tokens
    if setup.method in LORA_FAMILY:
        linears = shape.linears(setup.target)
        lengths = sum(outputs for _, outputs in linears) if setup.method == "dora" else 0
        return shape.layers * (setup.rank * sum(sum(linear) for linear in linears) + lengths)
    if setup.method == "prefix_tuning":
        return tokens * shape.layers * 2 * shape.kv_width
    encoder = 3 * hidden * (hidden + 1) if setup.method == "p_tuning" else 0  # peft's MLP: three square layers
    return tokens * hidden + encoder


def beside(shape: ModelShape, setup: Setup) -> int:
    """Numbers that an adapter keeps for each token and layer: between A and B, rank for each linear layer.

    DoRA keeps the outputs of the layer and of the adapter as well; dropout what it left of the inputs, and its mask.
    """
    if setup.method not in LORA_FAMILY:
        return 0
    linears = shape.linears(setup.target)
    kept = setup.rank * len(linears)
    if setup.method == "dora":
        kept += 2 * sum(outputs for _, outputs in linears)
    if setup.dropout:
        kept += 2 * sum(inputs for inputs, _ in linears)
    return kept


def with_batch(setup: Setup, size: int, longest: int, answer: int, prefix: int = 0) -> Setup:
    """The same with a micro batch of `size` examples of `longest` tokens, of which `answer` have loss.

    `prefix`: tokens that all begin with; they go through the layers once (jobs/lm/layout.py), but not with methods that
    put virtual tokens before them.
    """
    virtual = setup.virtual_tokens if setup.method in PROMPT_LEARNING else 0
    shared = prefix if size > 1 and not virtual else 0
    return replace(setup, encoded=shared + size * (longest - shared + virtual), scored=size * answer)
