"""Logits only where they are scored.

A vocabulary is 50,000 to 250,000 wide, so the head is often the dearest layer, and most positions of a fine-tuning
batch are prompt or padding whose logits nobody reads. Inside `scored_positions` the head sees the scored positions
only; loss and gradients stay those of the full computation.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from sftjobs.errors import DataError

CHUNK = 2**20
"""Logits that are float32 at a time: they stay in the cache of a CPU."""
CHUNK_ON_GPU = 2**27


@contextmanager
def scored_positions(model: nn.Module, positions: Tensor) -> Iterator[None]:
    """Make the next forward call of `model` return logits of shape [1, len(positions), vocabulary].

    `positions` are indices into the flattened (row, column) positions of the batch. `model` may be wrapped (peft, DDP):
    the hook sits on the head itself, so what wraps the model still sees an ordinary forward call, and what the model
    does to the logits (scaling, soft-capping) it does to those that are left. Raises DataError if the model has no such
    layer, or makes its logits without calling it.
    """
    head = output_head(model)
    calls = 0

    def select(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal calls
        calls += 1
        hidden = args[0]
        # Of a model over several GPUs the head may be on another one than the first layer.
        return (hidden.flatten(0, -2).index_select(0, positions.to(hidden.device))[None], *args[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()
    if calls != 1:
        raise DataError(
            f"model of type {_inner(model).__class__.__name__}: its output layer was called {calls} times in a forward "
            "pass, expected once: the loss of such a model cannot be computed; use another base model"
        )


def output_head(model: nn.Module) -> nn.Module:
    """The layer that makes logits, below any wrapper. Raises DataError if the model has none.

    A head that peft wraps (an adapter on it, or a trained copy of `modules_to_save`) is the wrapper, whose input is the
    same.
    """
    inner = _inner(model)
    find = getattr(inner, "get_output_embeddings", None)
    head = find() if find is not None else None
    if not isinstance(head, nn.Module):
        raise DataError(
            f"model of type {inner.__class__.__name__} has no output layer that makes logits of hidden states: "
            "it is not a causal language model; use another base model"
        )
    return head


def _inner(model: nn.Module) -> nn.Module:
    """What DistributedDataParallel or DeepSpeed wraps."""
    module = getattr(model, "module", model)
    assert isinstance(module, nn.Module)
    return module


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum of the cross entropies (nats) of `targets` under `logits` [1, n, vocabulary], in float32.

    Without targets it is a zero that still depends on the logits, so backward works on every rank. The gradient is made
    in the forward pass, some rows at a time, and held in the logits' number format: beside the logits themselves
    nothing else has their size. It can be differentiated once.
    """
    loss: Tensor = _SummedLoss.apply(logits[0], targets)
    return loss


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy (nats) of each target, in float32; some rows of logits at a time are float32."""
    losses = [
        functional.cross_entropy(logits[0, rows].float(), targets[rows], reduction="none")
        for rows in _chunks(logits[0])
    ]
    return torch.cat(losses) if losses else logits.new_zeros(0, dtype=torch.float32)


class _SummedLoss(torch.autograd.Function):
    """Of logits z [n, vocabulary], the sum of logsumexp(z) - z[target]; its gradient is softmax(z) - onehot(target)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        loss = torch.zeros((), dtype=torch.float32, device=logits.device)
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        for rows in _chunks(logits):
            chosen = targets[rows, None]
            log_p = torch.log_softmax(logits[rows].float(), dim=-1)
            loss -= log_p.gather(1, chosen).sum()
            if gradient is not None:
                p = log_p.exp_()
                p.scatter_add_(1, chosen, p.new_full((), -1.0).expand_as(chosen))
                gradient[rows] = p
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, of_loss: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient.mul_(of_loss), None


def _chunks(logits: Tensor) -> Iterator[slice]:
    """Rows of about CHUNK logits each."""
    size = max(1, (CHUNK_ON_GPU if logits.is_cuda else CHUNK) // logits.shape[-1])
    return (slice(start, start + size) for start in range(0, len(logits), size))
