"""Floating-point operations of a layout, to choose the cheaper one."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

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

    def of(self, rows: int, length: int) -> float:
        """Of so many rows of `length` tokens; the dense mask computes every pair of a row."""
        return rows * (self.linear * length + self.quadratic * length**2)


def cheapest_rows(lengths: Sequence[int], prefix: int, cost: Cost) -> list[list[int]] | None:
    """The examples of each row `[prefix, rest, rest, ...]`; None if one padded row for each example costs less.

    For each number of rows the longest rest goes first, always to the row that is shortest so far (Graham 1969).
    """
    best, chosen = cost.of(len(lengths), max(lengths)), None
    by_length = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    for number in range(1, len(lengths)):
        rows = [(prefix, place, list[int]()) for place in range(number)]
        for index in by_length:
            tokens, place, members = heappop(rows)
            heappush(rows, (tokens + lengths[index] - prefix, place, [*members, index]))
        found = cost.of(number, max(rows)[0])
        if found < best:
            best, chosen = found, [sorted(members) for _, _, members in sorted(rows, key=lambda row: row[1])]
    return chosen


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
