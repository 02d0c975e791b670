"""The model that is trained: all weights, or a frozen base with low-rank updates."""

import warnings
from pathlib import Path

from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from jobs.lm.load import load_model
from sftjobs.errors import DataError
from sftjobs.plan.configs import LoraConfig, TrainConfig

TrainedModel = PreTrainedModel | PeftModel


def open_for_training(folder: Path, config: TrainConfig) -> TrainedModel:
    """The base model in float32, with the adapter of method `lora` around it."""
    base = load_model(folder)
    if config.lora is None:
        return base
    return add_lora(base, config.lora)


def add_lora(base: PreTrainedModel, config: LoraConfig) -> PeftModel:
    """A new adapter (Hu et al. 2021) that starts as no change; its matrices come from the global seed."""
    settings = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules="all-linear" if config.target == "all-linear" else attention_layers(base),
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for an attribute by its old name.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        model = get_peft_model(base, settings)
    assert isinstance(model, PeftModel)
    return model


def attention_layers(model: nn.Module) -> list[str]:
    """Names of the linear layers inside attention blocks. Raises DataError if there are none."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
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


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Trainable parameters, and all parameters of the model with what was added to it."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trainable in sizes if trainable), sum(size for size, _ in sizes)
