"""Logits only where they are scored.

A vocabulary is 50,000 to 250,000 wide, so the head is often the dearest layer, and most positions of a fine-tuning
batch are prompt or padding whose logits nobody reads. Inside `scored_positions` the head sees the scored positions
only; loss and gradients stay those of the full computation.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional

from sftjobs.errors import DataError


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
        return (hidden.flatten(0, -2).index_select(0, positions)[None], *args[1:])

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

    Without targets it is a zero that still depends on the logits, so backward works on every rank.
    """
    return functional.cross_entropy(logits[0].float(), targets, reduction="sum")


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy (nats) of each target, in float32."""
    return functional.cross_entropy(logits[0].float(), targets, reduction="none")
