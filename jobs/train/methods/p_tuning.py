"""P-tuning (Liu et al. 2021, arXiv 2103.10385)."""

from peft import PromptEncoderConfig, PromptEncoderReparameterizationType
from transformers import PreTrainedModel

from jobs.train.methods.prompt_learning import PromptLearning
from sftjobs.plan.configs import PromptLearningConfig

_TYPES = {"mlp": PromptEncoderReparameterizationType.MLP, "lstm": PromptEncoderReparameterizationType.LSTM}


class PTuning(PromptLearning):
    """Trains a small network that makes the embeddings of P virtual tokens; only what it makes is exported."""

    def settings(self, base: PreTrainedModel, config: PromptLearningConfig) -> PromptEncoderConfig:
        assert config.encoder is not None, "the plan sets it for this method"
        hidden = base.config.get_text_config().hidden_size
        usual = hidden // 2 if config.encoder == "lstm" else hidden  # of an LSTM in each direction, as in the paper
        return PromptEncoderConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=config.virtual_tokens,
            encoder_reparameterization_type=_TYPES[config.encoder],
            encoder_hidden_size=config.encoder_size or usual,
        )
