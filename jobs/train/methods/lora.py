"""LoRA: low-rank adaptation (Hu et al. 2021, arXiv 2106.09685)."""

from peft import PeftModel
from transformers import PreTrainedModel

from jobs.train.methods.base import Method
from jobs.train.methods.low_rank import add_adapter
from sftjobs.plan.configs import TrainConfig


class Lora(Method):
    """W + (alpha / rank) B A beside a frozen W; A starts as small random numbers, B as zeros."""

    def prepare(self, base: PreTrainedModel, config: TrainConfig) -> PeftModel:
        assert config.lora is not None
        return add_adapter(base, config.lora)
