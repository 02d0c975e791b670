"""PeriodicLoRA (Meng et al. 2024, arXiv 2402.16141), without its momentum (DECISIONS.md)."""

from pathlib import Path

import torch
from peft import PeftModel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, get_scheduler

from jobs.train.arguments import SCHEDULES
from jobs.train.cycles import Cycles, layers_of, unload
from jobs.train.methods.base import TrainedModel
from jobs.train.methods.low_rank import LowRank
from sftjobs.plan.configs import TrainConfig


class PeriodicLora(LowRank):
    """LoRA in T cycles. At the end of each but the last its update goes into the frozen weights, and adapter, optimizer
    and schedule begin anew: the sum of the updates may have rank T r, for the memory of one."""

    changes_base = True

    def prepare(self, base: PreTrainedModel, config: TrainConfig) -> PeftModel:
        model = super().prepare(base, config)
        model.cycles = Cycles(Path(base.name_or_path))
        return model

    def schedule(self, optimizer: Optimizer, config: TrainConfig) -> LambdaLR:
        """That of the Trainer, once for each cycle; each has its share of the warm-up."""
        ends = cycle_ends(config)
        starts = [0, *ends[:-1]]
        parts = [
            get_scheduler(
                SCHEDULES[config.schedule],
                optimizer,
                num_warmup_steps=_warmup(config, end - start),
                num_training_steps=end - start,
            ).lr_lambdas[0]
            for start, end in zip(starts, ends, strict=True)
        ]

        def factor(step: int) -> float:
            number = next((number for number, end in enumerate(ends) if step < end), len(ends) - 1)
            return float(parts[number](step - starts[number]))

        return LambdaLR(optimizer, factor)

    def after_step(self, model: TrainedModel, optimizer: Optimizer, step: int, config: TrainConfig) -> None:
        if step not in cycle_ends(config)[:-1]:
            return
        assert isinstance(model, PeftModel)
        unload(model)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed * 1_000_003 + step)
            for layer in layers_of(model):
                layer.reset_lora_parameters("default", init_lora_weights=True)
        optimizer.state.clear()


def cycle_ends(config: TrainConfig) -> list[int]:
    """The last step of each cycle; cycles are of equal length, to a step."""
    assert config.lora is not None and config.lora.cycles is not None, "the plan sets it for this method"
    count = config.lora.cycles
    return [config.steps * number // count for number in range(1, count + 1)]


def _warmup(config: TrainConfig, length: int) -> int:
    if not config.warmup_steps:
        return 0
    return min(max(1, round(config.warmup_steps * length / config.steps)), max(length - 1, 0))
