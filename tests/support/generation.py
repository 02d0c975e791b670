"""Tiny random models that answer, prompts for them, and answers made one prompt at a time by `transformers`."""

from collections.abc import Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from jobs.lm.generate import Answer


def random_llama(initializer_range: float) -> PreTrainedModel:
    """Weights so large that what it says changes with every token of the prompt, unlike a usual random model."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=384,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=initializer_range,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config).eval()


def answer_alone(model: PreTrainedModel, prompt: list[int], limit: int, stops: Sequence[int]) -> Answer:
    """The greedy answer of the library to one prompt."""
    ids = torch.tensor([prompt])
    out = model.generate(  # type: ignore[operator]
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=limit,
        eos_token_id=list(stops),
        pad_token_id=0,
    )[0, len(prompt) :].tolist()
    places = [place for place, token in enumerate(out) if token in stops]
    return Answer(out[: places[0]], True) if places else Answer(out, False)
