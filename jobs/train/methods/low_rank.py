"""What the methods of the LoRA family share: a frozen base model with an adapter around its linear layers."""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from jobs.train.methods.base import Method
from sftjobs.errors import DataError
from sftjobs.plan.configs import LoraConfig, TrainConfig


class LowRank(Method):
    """Trains an adapter."""

    settings: ClassVar[Mapping[str, Any]] = {}
    """Of peft's LoraConfig: what makes the method differ from LoRA."""

    def prepare(self, base: PreTrainedModel, config: TrainConfig) -> PeftModel:
        assert config.lora is not None
        return add_adapter(base, config.lora, **self.settings)


def add_adapter(base: PreTrainedModel, config: LoraConfig, **changes: Any) -> PeftModel:
    """A new float32 adapter that starts as no change; its matrices come from the global seed.

    `changes`: further settings of peft's LoraConfig.
    """
    settings = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules="all-linear" if config.target == "all-linear" else attention_layers(base),
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in base.modules()),
        **changes,
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
