"""Full tuning: every weight is trained."""

from transformers import PreTrainedModel

from jobs.train.methods.base import Method
from sftjobs.plan.configs import TrainConfig


class Full(Method):
    """All weights of the base model."""

    def prepare(self, base: PreTrainedModel, config: TrainConfig) -> PreTrainedModel:
        return base
