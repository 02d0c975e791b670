"""What the methods of prompt learning share: a frozen base model with trained virtual tokens before every prompt."""

import warnings
from abc import abstractmethod
from typing import ClassVar

from peft import PeftModel, get_peft_model
from peft import PromptLearningConfig as PeftPromptLearningConfig
from transformers import PreTrainedModel

from jobs.lm.architectures import supports_shared_prefix
from jobs.lm.prefix import VirtualRows
from jobs.train.methods.base import Method
from sftjobs.errors import DataError
from sftjobs.plan.configs import PromptLearningConfig, TrainConfig


class PromptLearning(Method):
    """Trains virtual tokens."""

    merges: ClassVar[bool] = False

    @abstractmethod
    def settings(self, base: PreTrainedModel, config: PromptLearningConfig) -> PeftPromptLearningConfig:
        """What peft calls the method."""

    def begin(self, model: PeftModel) -> None:
        """Give the virtual tokens their first values, where peft's own are of no use."""

    def prepare(self, base: PreTrainedModel, config: TrainConfig) -> PeftModel:
        assert config.prompt_learning is not None
        refused = supports_shared_prefix(base.config)
        if refused is not None:
            raise DataError(
                f"train.method: {config.method} needs a model that can go on after keys and values made before: "
                f"{refused}; use lora or another method of its family"
            )
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 for an attribute by its old name.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
            model = get_peft_model(base, self.settings(base, config.prompt_learning))
        assert isinstance(model, PeftModel)
        self.begin(model)
        return model

    def virtual_rows(self, config: TrainConfig) -> VirtualRows:
        assert config.prompt_learning is not None
        return VirtualRows(config.prompt_learning.virtual_tokens)
