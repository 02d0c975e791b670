"""The mask of rows of examples for FlexAttention (Dong et al. 2024, arXiv 2412.05496): a rule instead of a matrix.

Its kernel leaves out blocks of token pairs that no token may look at: of `[prefix, rest, rest, ...]` it computes the
causal half of the prefix, each rest on the prefix, and each rest on itself. It is made on the device of the model.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

BLOCK = 128
"""Tokens of a side of a block; rows have a multiple of it, so that few shapes are compiled."""


@dataclass(frozen=True)
class BlockRule:
    """Which token of a row may look at which; `to` makes it a mask."""

    segments: Tensor
    """[rows, n]: what an example's tokens have in common; see `padding` and `prefix`."""
    positions: Tensor
    """[rows, n]: position ids."""
    window: int | None
    """Positions that a token looks back, itself included; None: all."""
    padding: int
    """Segment of tokens that nothing looks at; they look at each other."""
    prefix: int
    """Segment that every example's tokens look at as well."""

    def to(self, device: torch.device) -> BlockMask:
        segments, positions = self.segments.to(device), self.positions.to(device)

        def allowed(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            own, other = segments[row, query], segments[row, key]
            seen = (query >= key) & ((own == other) | ((other == self.prefix) & (own != self.padding)))
            if self.window is None:
                return seen
            return seen & (positions[row, query] - positions[row, key] < self.window)

        rows, length = segments.shape
        return create_block_mask(allowed, rows, None, length, length, device=device, BLOCK_SIZE=BLOCK)
