"""Floating-point operations of a layout, to choose the cheaper one."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PretrainedConfig

_TWO_MATRICES = frozenset({"gpt2", "gpt_neox", "phi", "starcoder2"})
"""Model types whose MLP has two matrices; that of the others is gated and has three."""


@dataclass(frozen=True)
class Cost:
    """Of a layer's forward pass; what backward adds is the same multiple for every layout."""

    linear: float
    """Per token: two for each weight of the attention projections and of the MLP that a token goes through."""
    quadratic: float
    """Per pair of tokens: two matrix products (scores, weighted values) of two operations per hidden unit."""

    def padded(self, lengths: Sequence[int]) -> float:
        """One row per example, padded to the longest."""
        return len(lengths) * self._row(max(lengths))

    def row(self, lengths: Sequence[int], prefix: int) -> float:
        """One row for all; the dense mask computes every pair."""
        return self._row(prefix + sum(length - prefix for length in lengths))

    def _row(self, tokens: int) -> float:
        return self.linear * tokens + self.quadratic * tokens**2


def cost_of(config: PretrainedConfig) -> Cost:
    """The cost model of an architecture; sizes that its config leaves out are those that transformers takes."""
    hidden = config.hidden_size
    heads = config.num_attention_heads
    wide = heads * (getattr(config, "head_dim", None) or hidden // heads)
    share = (getattr(config, "num_key_value_heads", None) or heads) / heads
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * hidden
    if getattr(config, "num_experts_per_tok", None):  # a token goes through some of the experts only
        inner = config.num_experts_per_tok * (getattr(config, "moe_intermediate_size", None) or inner)
    matrices = 2 if config.model_type in _TWO_MATRICES else 3
    weights = hidden * wide * (2 + 2 * share) + matrices * hidden * inner
    return Cost(2.0 * weights, 4.0 * wide)
