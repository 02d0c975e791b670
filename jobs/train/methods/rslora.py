"""rsLoRA: rank-stabilized LoRA (Kalajdzievski 2023, arXiv 2312.03732)."""

from peft import PeftModel
from transformers import PreTrainedModel

from jobs.train.methods.base import Method
from jobs.train.methods.low_rank import add_adapter
from sftjobs.plan.configs import TrainConfig


class RankStabilized(Method):
    """LoRA with the factor alpha / sqrt(rank): the size of the update does not shrink as the rank grows."""

    def prepare(self, base: PreTrainedModel, config: TrainConfig) -> PeftModel:
        assert config.lora is not None
        return add_adapter(base, config.lora, use_rslora=True)
