"""Prompt tuning (Lester, Al-Rfou and Constant 2021, arXiv 2104.08691)."""

from peft import PromptTuningConfig, PromptTuningInit
from transformers import PreTrainedModel

from jobs.train.methods.prompt_learning import PromptLearning
from sftjobs.plan.configs import PromptLearningConfig


class PromptTuning(PromptLearning):
    """Trains the embeddings of P virtual tokens.

    They start as those of P random tokens of the vocabulary (section 3.2 of the paper): random numbers, peft's default,
    are far from any embedding that the model knows.
    """

    def settings(self, base: PreTrainedModel, config: PromptLearningConfig) -> PromptTuningConfig:
        return PromptTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=config.virtual_tokens,
            prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
        )
