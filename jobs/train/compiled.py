"""torch.compile of a model's layers while it is trained.

Each layer by itself, not the whole model: layers are alike, so one is compiled and all use it; and what is done between
them (logits at scored positions by a hook that is new for each batch) is never part of what was compiled.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from jobs.lm.unwrap import base_model, layers_of
from sftjobs.errors import DataError


@contextmanager
def compiled_layers(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Inside, the layers of `model` are compiled when they are first called, if that is `wanted`.

    Raises DataError if the architecture is not made of layers as transformers has them.
    """
    if not wanted:
        yield
        return
    layers = layers_of(model)
    if not layers:
        raise DataError(
            f"train.compile: true: {type(base_model(model)).__name__} has no layers that could be compiled; "
            "remove the key"
        )
    for layer in layers:
        layer.compile()
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
