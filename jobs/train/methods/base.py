"""What every method of tuning says about itself."""

from abc import ABC, abstractmethod

from peft import PeftModel
from torch.optim import Optimizer
from transformers import PreTrainedModel

from sftjobs.plan.configs import TrainConfig

TrainedModel = PreTrainedModel | PeftModel


class Method(ABC):
    """A way of tuning. What is trained is float32 in every case (jobs/train/model.py)."""

    @abstractmethod
    def prepare(self, base: PreTrainedModel, config: TrainConfig) -> TrainedModel:
        """`base` with what is trained; everything else in it is frozen.

        Raises DataError if the method cannot be had for this architecture.
        """

    def optimizer(self, model: TrainedModel, config: TrainConfig) -> Optimizer | None:
        """An optimizer for `prepare`'s model with parameter groups of its own; None: AdamW as the Trainer makes it."""
        return None
