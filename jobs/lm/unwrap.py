"""The model below peft's wrapper, and its layers."""

from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer


def base_model(model: nn.Module) -> PreTrainedModel:
    """The model itself; its layers carry an adapter all the same."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    assert isinstance(base, PreTrainedModel)
    return base


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers that a decoder is a stack of, in their order; empty for an architecture that has another form."""
    return [module for module in base_model(model).modules() if isinstance(module, GradientCheckpointingLayer)]
