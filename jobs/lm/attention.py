"""What computes attention while a model is trained: `train.attention` as an implementation of transformers."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import PretrainedConfig
from transformers.utils import is_flash_attn_2_available

from jobs.lm.unwrap import base_model
from sftjobs.errors import DataError
from sftjobs.spec.train import AttentionName

_IMPLEMENTATIONS: dict[AttentionName, str] = {"flex": "flex_attention"}
"""Where transformers has another name."""


@contextmanager
def attending(model: nn.Module, name: AttentionName | None) -> Iterator[None]:
    """Inside, `model` attends by `name`; None: by what it was opened with. Raises DataError if it cannot."""
    if name is None:
        yield
        return
    base = base_model(model)
    check_attention(base.config, name)
    before = base.config._attn_implementation
    try:
        base.set_attn_implementation(_IMPLEMENTATIONS.get(name, name))
    except (ImportError, ValueError) as error:
        raise DataError(f"train.attention: {name}: {type(base).__name__} cannot have it: {error}") from error
    try:
        yield
    finally:
        base.set_attn_implementation(before)


def check_attention(config: PretrainedConfig, name: AttentionName) -> None:
    """Raises DataError if `name` is not installed, or cannot do what the model's config asks for."""
    # transformers would look for a kernel on a hub instead, which a stage pod does not talk to.
    if name == "flash_attention_2" and not is_flash_attn_2_available():
        raise DataError(
            "train.attention: flash_attention_2 needs the package flash-attn and a CUDA GPU where the training runs "
            "(docs/gpu.md); build it into the train image, or use sdpa or flex"
        )
    dropout = getattr(config.get_text_config(), "attention_dropout", 0.0)
    if name == "flex" and dropout:
        raise DataError(
            f"train.attention: flex has no dropout, and the model has attention_dropout {dropout:g}; use sdpa"
        )
