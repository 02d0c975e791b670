"""LoRA+: two learning rates (Hayou, Ghosh and Yu 2024, arXiv 2402.12354)."""

import torch
from peft import PeftModel
from peft.optimizers import create_loraplus_optimizer
from torch.optim import Optimizer

from jobs.train.methods.base import TrainedModel
from jobs.train.methods.lora import Lora
from sftjobs.plan.configs import TrainConfig


class LoraPlus(Lora):
    """LoRA whose matrix B learns `learning_rate_ratio` times as fast as A."""

    def optimizer(self, model: TrainedModel, config: TrainConfig) -> Optimizer:
        assert isinstance(model, PeftModel) and config.lora is not None
        ratio = config.lora.learning_rate_ratio
        assert ratio is not None, "the plan sets it for this method"
        made: Optimizer = create_loraplus_optimizer(
            model,
            torch.optim.AdamW,
            lr=config.learning_rate,
            loraplus_lr_ratio=ratio,
            loraplus_weight_decay=config.weight_decay,
            betas=(0.9, 0.999),
            eps=1e-8,
            fused=True,
        )
        return made
