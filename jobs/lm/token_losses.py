"""Logits only where they are scored.

A vocabulary is 50,000 to 250,000 wide, so the head is often the dearest layer, and most positions of a fine-tuning
batch are prompt or padding whose logits nobody reads. Inside `scored_positions` the head sees the scored positions
only; loss and gradients stay those of the full computation.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional


@contextmanager
def scored_positions(model: nn.Module, positions: Tensor) -> Iterator[None]:
    """Make the next forward call of `model` return logits of shape [1, len(positions), vocabulary].

    `positions` are indices into the flattened (row, column) positions of the batch. `model` may be wrapped (peft, DDP):
    the hook sits on the head itself, so what wraps the model still sees an ordinary forward call.
    """
    head = output_head(model)

    def select(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = args[0]
        return (hidden.flatten(0, -2).index_select(0, positions)[None], *args[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


def output_head(model: nn.Module) -> nn.Module:
    """The layer that makes logits, below any wrapper."""
    unwrapped = getattr(model, "module", model)  # DistributedDataParallel
    assert isinstance(unwrapped, nn.Module)
    head = unwrapped.get_output_embeddings()  # type: ignore[operator]
    assert isinstance(head, nn.Module)
    return head


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum of the cross entropies (nats) of `targets` under `logits` [1, n, vocabulary], in float32.

    Without targets it is a zero that still depends on the logits, so backward works on every rank.
    """
    return functional.cross_entropy(logits[0].float(), targets, reduction="sum")


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy (nats) of each target, in float32."""
    return functional.cross_entropy(logits[0].float(), targets, reduction="none")
