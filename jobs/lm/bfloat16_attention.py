"""Attention of a training in bfloat16 on a CPU: plain matrix products instead of the fused kernel.

torch's fused kernel for CPUs computes bfloat16 no faster than float32. Plain products of bfloat16 with a softmax in
float32 (`eager` of transformers) take half its time where the processor has instructions for bfloat16 (measured on an
AMD EPYC, one thread, 6 heads of 64, forwards and backwards: 8 rows of 183 tokens 12 and 27 ms, 8 of 542 78 and 152 ms).
They keep the probabilities of every pair of tokens for the backward pass, which the fused kernel does not.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel
from transformers import PretrainedConfig, PreTrainedModel

from jobs.lm.unwrap import base_model

MAX_BYTES = 2**30
"""Of kept probabilities; more are not worth the time they save."""
BYTES = 8
"""Of a pair of tokens, head and layer: the softmax, what it was made of and its rounded form."""


@contextmanager
def bfloat16_attention(model: PreTrainedModel | PeftModel, pairs: int) -> Iterator[None]:
    """Inside, `model` attends by plain products if these are faster and what they keep fits.

    `pairs`: pairs of tokens of the largest forward pass, all its rows together.
    """
    base = base_model(model)
    if not is_chosen(base.config, pairs):
        yield
        return
    before = base.config._attn_implementation
    base.set_attn_implementation("eager")
    try:
        yield
    finally:
        base.set_attn_implementation(before)


def is_chosen(config: PretrainedConfig, pairs: int) -> bool:
    """Whether plain products are what a model with this config attends by, for so many pairs of tokens."""
    return config._attn_implementation == "sdpa" and usable() and kept(config, pairs) <= MAX_BYTES


def kept(config: PretrainedConfig, pairs: int) -> int:
    """Bytes of probabilities that plain products keep for the backward pass."""
    text = config.get_text_config()
    return BYTES * pairs * int(text.num_attention_heads) * int(text.num_hidden_layers)


def usable() -> bool:
    """Whether this processor multiplies bfloat16 numbers itself."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
