"""Every family of models answers as by itself, one prompt after another; what cannot share a prefix says why."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models import gemma3, gpt2, llama, mistral, qwen2, qwen3

from jobs.lm.generate import generate
from tests.support.generation import answer_alone

STOPS = [7, 300]
SMALL = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.4,
    "pad_token_id": 0,
}
FAMILIES: dict[str, tuple[PreTrainedConfig, str | None]] = {
    "llama": (llama.LlamaConfig(**SMALL), None),
    "qwen2": (qwen2.Qwen2Config(**SMALL), None),
    "qwen3": (qwen3.Qwen3Config(**SMALL), None),
    "mistral": (mistral.MistralConfig(**SMALL, sliding_window=None), None),
    "mistral, window": (mistral.MistralConfig(**SMALL, sliding_window=16), "sliding window of 16 tokens"),
    "gpt2": (
        gpt2.GPT2Config(vocab_size=384, n_positions=128, n_embd=32, n_layer=2, n_head=4, initializer_range=0.4),
        "gpt2",
    ),
    "gemma3": (gemma3.Gemma3TextConfig(**SMALL, sliding_window=16), "gemma3_text"),
}


def _model(name: str) -> PreTrainedModel:
    torch.manual_seed(1)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(FAMILIES[name][0], attn_implementation="sdpa")
    return model.eval()


def _prompts(shared: int, rests: list[int]) -> list[list[int]]:
    draws = random.Random(4)
    start = [draws.randrange(10, 300) for _ in range(shared)]
    return [start + [draws.randrange(10, 300) for _ in range(length)] for length in rests]


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_equal_generation_one_by_one(name: str) -> None:
    model = _model(name)
    prompts = _prompts(40, [1, 3, 3, 8, 12, 19, 25])
    found = generate(model, prompts, stop_ids=STOPS, max_new_tokens=12, batch_size=4)
    assert found.answers == [answer_alone(model, prompt, 12, STOPS) for prompt in prompts]
    why = FAMILIES[name][1]
    if why is None:
        assert found.refused is None
        assert (found.prefix_tokens, found.saved_tokens) == (40, 6 * 40)
    else:
        assert why in str(found.refused)
        assert found.saved_tokens == 0
    assert len({tuple(answer.ids) for answer in found.answers}) > 4, "answers that are all alike prove nothing"


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_an_answer_ends_where_the_context_ends(name: str) -> None:
    model = _model(name)
    prompts = _prompts(100, [5, 23, 27, 28, 30])
    found = generate(model, prompts, stop_ids=[383], max_new_tokens=12, batch_size=8)
    assert [len(answer.ids) for answer in found.answers] == [12, 5, 1, 0, 0]
    assert [answer.ended for answer in found.answers] == [False] * 5
    assert found.beyond_context == 4


def test_prompts_of_several_tasks_share_the_start_of_their_task() -> None:
    model = _model("llama")
    one, other = _prompts(60, [5] * 6), [[9, *prompt] for prompt in _prompts(50, [7] * 9)]
    prompts = [prompt for pair in zip(one, other, strict=False) for prompt in pair] + other[6:] + [[20, 21, 22]]
    found = generate(model, prompts, stop_ids=STOPS, max_new_tokens=8, batch_size=4)
    assert found.answers == [answer_alone(model, prompt, 8, STOPS) for prompt in prompts]
    assert found.prefix_tokens == 51
    assert found.saved_tokens == 5 * 60 + 8 * 51
