"""Liger's fused kernels (Hsu et al. 2024, arXiv 2410.10989) for norms, rotary positions and gated MLPs.

Its cross entropy stays off: the head here computes scored positions only, and the loss makes its gradient while it is
computed (jobs/lm/token_losses.py), divided by the tokens of all ranks; Liger's divides by those of a micro batch.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from torch import nn

from jobs.lm.unwrap import base_model
from sftjobs.errors import DataError

_ON = ("rope", "rms_norm", "layer_norm", "swiglu", "geglu")
_OFF = ("cross_entropy", "fused_linear_cross_entropy")


@contextmanager
def liger_kernels(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Inside, `model` computes by Liger's kernels where there are any for its architecture, if that is `wanted`.

    Raises DataError if Liger is not installed or does not know the architecture. What it changes is put back: models
    that are opened afterwards may be on the CPU, for which it has no kernels.
    """
    if not wanted:
        yield
        return
    if find_spec("liger_kernel") is None:
        raise DataError(
            "train.liger: true needs the package liger-kernel, which is not installed where the training runs "
            "(docs/gpu.md); build it into the train image, or remove the key"
        )
    from liger_kernel.transformers import monkey_patch

    base = base_model(model)
    if base.config.model_type not in monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise DataError(
            f"train.liger: true: Liger has no kernels for models of type {base.config.model_type}; remove the key"
        )
    places: list[dict[str, Any]] = [vars(sys.modules[type(base).__module__]), *(vars(one) for one in base.modules())]
    before = [dict(place) for place in places]
    switches = dict.fromkeys(_ON, True) | dict.fromkeys(_OFF, False)
    monkey_patch._apply_liger_kernel_to_instance(model=base, **switches)
    changed = [
        (place, name, old.get(name, _ABSENT))
        for place, old in zip(places, before, strict=True)
        for name in place
        if place[name] is not old.get(name, _ABSENT)
    ]
    try:
        yield
    finally:
        for place, name, value in changed:
            if value is _ABSENT:
                place.pop(name, None)
            else:
                place[name] = value


_ABSENT = object()
