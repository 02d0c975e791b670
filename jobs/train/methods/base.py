"""What every method of tuning says about itself."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from peft import PeftModel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import PreTrainedModel

from jobs.lm.load import load_model
from jobs.lm.prefix import VirtualRows
from sftjobs.plan.configs import TrainConfig

TrainedModel = PreTrainedModel | PeftModel


class Method(ABC):
    """A way of tuning. What is trained is float32 in every case (jobs/train/model.py)."""

    merges: ClassVar[bool] = True
    """Whether what is trained becomes part of the model that is exported."""
    changes_base: ClassVar[bool] = False
    """Whether the weights below an adapter change while training, which needs float32."""

    def load(self, folder: Path, dtype: torch.dtype, config: TrainConfig) -> PreTrainedModel:
        """The base model for `prepare`, with weights of `dtype`. Raises DataError if it cannot be opened."""
        return load_model(folder, dtype)

    @abstractmethod
    def prepare(self, base: PreTrainedModel, config: TrainConfig) -> TrainedModel:
        """`base` with what is trained; everything else in it is frozen.

        Raises DataError if the method cannot be had for this architecture.
        """

    def virtual_rows(self, config: TrainConfig) -> VirtualRows | None:
        """For a method that puts virtual tokens before every prompt: how its rows are longer; None: they are not."""
        return None

    def optimizer(self, model: TrainedModel, config: TrainConfig) -> Optimizer | None:
        """An optimizer for `prepare`'s model with parameter groups of its own; None: AdamW as the Trainer makes it."""
        return None

    def schedule(self, optimizer: Optimizer, config: TrainConfig) -> LRScheduler | None:
        """The learning rate by step; None: as the Trainer makes it."""
        return None

    def after_step(self, model: TrainedModel, optimizer: Optimizer, step: int, config: TrainConfig) -> None:
        """What happens after `step` steps, before a look at the dev set and a checkpoint."""
        return
