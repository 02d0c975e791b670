"""Linear layers of a float32 model on a CPU by oneDNN instead of MKL.

MKL leaves AVX-512 unused on processors that are not Intel's; there oneDNN takes less than half the time for the same
float32 product (measured on an AMD EPYC, one thread: 107 and 245 GFLOP/s). torch calls oneDNN by itself only for 16-bit
numbers. Weights stay where they are: nothing is packed or copied.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


def usable() -> bool:
    """Whether this build of torch has the operator; an internal one, that its compiler emits for such layers."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@contextmanager
def onednn_linears(model: nn.Module) -> Iterator[None]:
    """Inside, plain linear layers of `model` on the CPU in float32 multiply by oneDNN, forwards and backwards."""
    layers = [
        module
        for module in model.modules()
        # Exactly this class: what is derived from it may compute something else.
        if type(module) is nn.Linear and module.weight.device.type == "cpu" and module.weight.dtype == torch.float32
    ]
    patched = [layer for layer in layers if "forward" not in vars(layer)] if usable() else []
    for layer in patched:
        layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in patched:
            del layer.forward


def _forward(layer: nn.Linear, given: Tensor) -> Tensor:
    if given.dtype != torch.float32 or torch.is_autocast_enabled("cpu") or not given.numel():
        return nn.Linear.forward(layer, given)
    if torch.is_grad_enabled() and (given.requires_grad or layer.weight.requires_grad):
        out: Tensor = _Linear.apply(given, layer.weight, layer.bias)
        return out
    return _product(given, layer.weight, layer.bias)


def _product(given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """given [..., in] times the transpose of weight [out, in]: [..., out]."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(given, weight, bias, "none", [], "")
    return product


class _Linear(torch.autograd.Function):
    """y = x W^T + b. With g = dL/dy: dL/dx = g W, dL/dW = g^T x, dL/db = the sum of g over all positions."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(given, weight)
        return _product(given, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # type: ignore[override]
        given, weight = ctx.saved_tensors
        of_given, of_weight, of_bias = ctx.needs_input_grad
        rows = gradient.reshape(-1, gradient.shape[-1])
        return (
            _product(gradient, weight.t()) if of_given else None,
            _product(rows.t(), given.reshape(-1, given.shape[-1]).t()) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )
