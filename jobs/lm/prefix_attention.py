"""Attention of many rows that share one prefix: its keys and values are kept once and read once per step.

    scores = [ Q K_prefix^T | Q K_own^T + mask ]        softmax over both        out = A_prefix V_prefix + A_own V_own

The same mathematics as attention over the whole sequence; only where keys and values lie is different. For B rows the
usual cache holds and reads the prefix B times (idea: Juravsky et al. 2024, Hydragen, arXiv 2402.05099).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, DynamicCache, PreTrainedModel

NAME = "sftjobs_shared_prefix"
MAX_SCORES = 1 << 27
"""Attention scores held at once (512 MiB in float32); rows are taken in groups that fit."""


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the common prefix by layer, each [1, key heads, prefix tokens, head size]."""

    keys: list[Tensor]
    values: list[Tensor]
    tokens: int

    @classmethod
    def of(cls, cache: DynamicCache, tokens: int) -> "Prefix":
        """What a forward pass of one row has left."""
        keys = [layer.keys for layer in cache.layers]  # type: ignore[union-attr]
        values = [layer.values for layer in cache.layers]  # type: ignore[union-attr]
        return cls(keys, values, tokens)  # type: ignore[arg-type]

    def cache(self) -> DynamicCache:
        """A new cache that holds it; what is added there changes nothing here."""
        made = DynamicCache()
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            made.update(keys, values, layer)
        return made


@torch.inference_mode()
def encode_prefix(model: PreTrainedModel, ids: list[int], before: Prefix | None = None) -> Prefix | None:
    """Run the model once over the prefix, which goes on after `before`; without tokens that is all there is."""
    if not ids:
        return before
    start = 0 if before is None else before.tokens
    cache = DynamicCache() if before is None else before.cache()
    model(
        input_ids=torch.tensor([ids], device=model.device),
        position_ids=torch.arange(start, start + len(ids), device=model.device)[None, :],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return Prefix.of(cache, start + len(ids))


@contextmanager
def shared_prefix_attention(model: PreTrainedModel) -> Iterator[None]:
    """Inside, forward calls of `model` take `shared_prefix=Prefix | None` and a dense mask of each row's own tokens."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def prefix_attention(model: PreTrainedModel, prefix: Prefix | None) -> Iterator[dict[str, Any]]:
    """The same, with what a forward call has to be given; without a prefix the model attends in its own way."""
    if prefix is None:
        yield {}
        return
    with shared_prefix_attention(model):
        yield {"shared_prefix": prefix}


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float,
    shared_prefix: Prefix | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """query [B, heads, q, d]; key and value [B, key heads, own tokens, d]; mask [B, 1, q, own tokens], added."""
    rows, heads, length, size = query.shape
    key_heads = key.shape[1]
    # Query heads that use the same key head are laid side by side, so that keys need not be repeated.
    grouped = (query * scaling).reshape(rows, key_heads, heads // key_heads * length, size)
    mask = attention_mask.repeat(1, 1, heads // key_heads, 1)
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    prefix = None if shared_prefix is None else (shared_prefix.keys[layer], shared_prefix.values[layer])
    seen = key.shape[2] + (0 if shared_prefix is None else shared_prefix.tokens)
    step = max(1, MAX_SCORES // (heads * length * seen))
    parts = [
        _attend_rows(grouped[i : i + step], key[i : i + step], value[i : i + step], mask[i : i + step], prefix)
        for i in range(0, rows, step)
    ]
    out = torch.cat(parts).reshape(rows, heads, length, size)
    return out.transpose(1, 2).contiguous(), None


def _attend_rows(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, prefix: tuple[Tensor, Tensor] | None
) -> Tensor:
    scores = query @ key.transpose(-1, -2) + mask
    if prefix is None:
        return torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype) @ value
    rows, key_heads, _, size = query.shape
    tokens = prefix[0].shape[2]
    # All rows meet the prefix in one matrix product per key head.
    folded = query.transpose(0, 1).reshape(key_heads, -1, size)
    on_prefix = (folded @ prefix[0][0].transpose(-1, -2)).view(key_heads, rows, -1, tokens).transpose(0, 1)
    weights = torch.softmax(torch.cat([on_prefix, scores], dim=-1), dim=-1, dtype=torch.float32).to(query.dtype)
    own = weights[..., tokens:] @ value
    shared = weights[..., :tokens].transpose(0, 1).reshape(key_heads, -1, tokens) @ prefix[1][0]
    return own + shared.view(key_heads, rows, -1, size).transpose(0, 1)


AttentionInterface.register(NAME, _attend)
