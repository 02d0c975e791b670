"""DoRA: weight-decomposed low-rank adaptation (Liu et al. 2024, arXiv 2402.09353)."""

from peft import PeftModel
from transformers import PreTrainedModel

from jobs.train.methods.base import Method
from jobs.train.methods.low_rank import add_adapter
from sftjobs.plan.configs import TrainConfig


class Dora(Method):
    """LoRA changes the direction of each output's weights; their length is a trained vector of its own."""

    def prepare(self, base: PreTrainedModel, config: TrainConfig) -> PeftModel:
        assert config.lora is not None
        return add_adapter(base, config.lora, use_dora=True)
