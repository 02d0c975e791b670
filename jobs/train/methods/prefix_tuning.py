"""Prefix tuning (Li and Liang 2021, arXiv 2101.00190); without a network it is P-tuning v2 (Liu et al. 2021,
arXiv 2110.07602)."""

import torch
from peft import PeftModel, PrefixTuningConfig
from transformers import PreTrainedModel

from jobs.lm.learned_prefix import flattened
from jobs.lm.prefix import VirtualRows
from jobs.lm.prefix_attention import encode_prefix
from jobs.train.methods.prompt_learning import PromptLearning
from sftjobs.plan.configs import PromptLearningConfig, TrainConfig


class PrefixTuning(PromptLearning):
    """Trains keys and values of P virtual tokens in every layer, or with `encoder: mlp` a network that makes them."""

    def settings(self, base: PreTrainedModel, config: PromptLearningConfig) -> PrefixTuningConfig:
        return PrefixTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=config.virtual_tokens,
            prefix_projection=config.encoder == "mlp",
            encoder_hidden_size=config.encoder_size or base.config.get_text_config().hidden_size,
        )

    def begin(self, model: PeftModel) -> None:
        """Keys and values of P random tokens of the vocabulary (section 7.4 of Li and Liang: activations of real
        words). With random numbers a model begins by having forgotten what it knew."""
        encoder = model.prompt_encoder["default"]
        if encoder.prefix_projection:
            return
        base = model.get_base_model()
        assert isinstance(base, PreTrainedModel)
        ids = torch.randint(base.config.get_text_config().vocab_size, (len(encoder.embedding.weight),))
        prefix = encode_prefix(base, ids.tolist())
        assert prefix is not None
        with torch.no_grad():
            encoder.embedding.weight.copy_(flattened(prefix))

    def virtual_rows(self, config: TrainConfig) -> VirtualRows:
        return VirtualRows(0)
