"""The model below peft's wrapper, and its layers."""

from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel


def base_model(model: nn.Module) -> PreTrainedModel:
    """The model itself; its layers carry an adapter all the same."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    assert isinstance(base, PreTrainedModel)
    return base
