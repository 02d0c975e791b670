"""Which token may look at which, as numbers that are added to attention scores."""

import torch
from torch import Tensor


def additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a token may look; the lowest number (not infinity: padding may look nowhere) where it may not."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, torch.finfo(dtype).min)
