"""Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): of a layer only its input is kept.

The backward pass computes the rest once more. The result is the same, dropout included: its random state is put back.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from jobs.lm.unwrap import base_model
from sftjobs.errors import DataError


@contextmanager
def activation_checkpointing(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Inside, and in training mode, every layer of `model` is checkpointed if that is `wanted`.

    Raises DataError if its architecture cannot be.
    """
    if not wanted:
        yield
        return
    base = base_model(model)
    if not base.supports_gradient_checkpointing:
        raise DataError(
            f"train.activation_checkpointing: true: {type(base).__name__} of transformers cannot compute its layers "
            "again; set it to false"
        )
    # The other kind gives no gradient to a layer whose inputs need none, and DDP would wait for it.
    base.activation_checkpointing_enable({"use_reentrant": False})
    base.disable_input_require_grads()  # nor does this kind need embeddings that have gradients
    try:
        yield
    finally:
        base.activation_checkpointing_disable()
