"""The model that is trained: all weights, or a frozen base with low-rank updates."""

import warnings
from pathlib import Path

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from jobs.lm.load import load_model
from sftjobs.errors import DataError
from sftjobs.plan.configs import LoraConfig, TrainConfig

TrainedModel = PreTrainedModel | PeftModel


def open_for_training(folder: Path, config: TrainConfig) -> TrainedModel:
    """The base model, with the adapter of method `lora` around it. What is trained is float32 in every case.

    Updates smaller than the rounding of a 16-bit number would be lost. Frozen weights have no updates: with precision
    bfloat16 those below an adapter are bfloat16, which is how autocast uses them anyway, in half the memory.
    """
    frozen = torch.bfloat16 if config.lora is not None and config.precision == "bfloat16" else torch.float32
    base = load_model(folder, frozen)
    model = base if config.lora is None else add_lora(base, config.lora)
    assert all(value.dtype == torch.float32 for value in model.parameters() if value.requires_grad)
    return model


def add_lora(base: PreTrainedModel, config: LoraConfig) -> PeftModel:
    """A new float32 adapter (Hu et al. 2021) that starts as no change; its matrices come from the global seed."""
    settings = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules="all-linear" if config.target == "all-linear" else attention_layers(base),
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in base.modules()),
    )
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for an attribute by its old name.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        model = get_peft_model(base, settings)
    assert isinstance(model, PeftModel)
    return model


def attention_layers(model: nn.Module) -> list[str]:
    """Names of the linear layers inside attention blocks. Raises DataError if there are none."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    inside = [name for name in linear if any("attn" in part or "attention" in part for part in name.split("."))]
    if not inside:
        raise DataError(
            f"train.lora.target: 'attention' finds no linear layer in an attention block of {type(model).__name__}; "
            "use 'all-linear'"
        )
    short = {name.rsplit(".", 1)[-1] for name in inside}
    elsewhere = {name.rsplit(".", 1)[-1] for name in set(linear) - set(inside)}
    # Full names only where the short ones would also match layers outside attention.
    return sorted(inside if short & elsewhere else short)


def in_float32(model: PeftModel, folder: Path) -> PeftModel:
    """The same model for merging: on the CPU, its frozen weights in float32 as the files of the base model hold them.

    An adapter is added to these numbers and the sum is rounded once, to the number format of the files. Nothing is done
    to a model that is float32 already.
    """
    base = model.get_base_model()
    frozen = {name: value for name, value in base.named_parameters() if not value.requires_grad}
    if all(value.dtype == torch.float32 for value in frozen.values()):
        return model
    model.to("cpu", torch.float32)
    exact = dict(load_model(folder).named_parameters())
    with torch.no_grad():
        for name, value in frozen.items():
            value.copy_(exact[name.replace(".base_layer.", ".")])
    return model


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Trainable parameters, and all parameters of the model with what was added to it."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trainable in sizes if trainable), sum(size for size, _ in sizes)
