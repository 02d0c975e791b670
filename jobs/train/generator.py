"""What answers and scores while a model is trained: below peft's wrapper, which knows nothing of shared prefixes."""

from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from jobs.lm.learned_prefix import VirtualTokens, learned_prefix
from jobs.lm.prefix_attention import Prefix


def generator(model: nn.Module) -> tuple[PreTrainedModel, Prefix | None]:
    """The model itself, whose layers carry a low-rank adapter all the same, and the trained virtual tokens as they are
    now, for a method that has them."""
    before = None
    if isinstance(model, PeftModel):
        tokens = virtual_tokens(model)
        model = model.get_base_model()
        assert isinstance(model, PreTrainedModel)
        before = None if tokens is None else learned_prefix(model, tokens)
    assert isinstance(model, PreTrainedModel)
    return model, before


def virtual_tokens(model: PeftModel) -> VirtualTokens | None:
    """What an adapter of prompt learning would be saved with; None for another one."""
    settings = model.peft_config["default"]
    if not settings.is_prompt_learning:
        return None
    return VirtualTokens(str(settings.peft_type.value), model.get_prompt_embedding_to_save("default"))
