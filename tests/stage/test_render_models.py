"""Random models of each family: the loss of what the renderer labels is that of the answers, counted by hand."""

import math

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from jobs.lm.message import Message
from jobs.lm.positions import check_positions
from jobs.lm.render import IGNORE, Renderer
from sftjobs.errors import DataError
from tests.support.tokenizers import FAMILIES, family_tokenizer

MESSAGES: list[Message] = [
    {"role": "user", "content": "how much money?"},
    {"role": "assistant", "content": "balance"},
    {"role": "user", "content": "我想查询"},
    {"role": "assistant", "content": "余额 👍"},
]
_SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
_CLASSES: dict[str, tuple[type, type]] = {
    "smollm2": (LlamaConfig, LlamaForCausalLM),
    "llama3": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
}


def tiny(family: str, vocabulary: int) -> PreTrainedModel:
    torch.manual_seed(0)
    if family == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_positions=128, n_embd=16, n_layer=2, n_head=2))
    else:
        config, architecture = _CLASSES[family]
        sizes = _SIZES if family != "qwen2" else {name: _SIZES[name] for name in _SIZES if name != "head_dim"}
        model = architecture(config(vocab_size=vocabulary, max_position_embeddings=128, **sizes))
    return model.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_is_that_of_the_answers(family: str) -> None:
    renderer = Renderer(family_tokenizer(family))
    [rendered] = renderer.render([MESSAGES])
    model = tiny(family, len(renderer.tokenizer))
    ids = torch.tensor([rendered.ids])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=torch.tensor([rendered.labels])).loss.item()
    # By hand: each supervised token is predicted from exactly the tokens before it, in a call of its own.
    places = [i for i, label in enumerate(rendered.labels) if label != IGNORE]
    told = renderer.tokenizer.decode([rendered.ids[i] for i in places])
    assert told.replace(" ", "") == "".join(
        message["content"].replace(" ", "") + renderer.tokenizer.decode(renderer.stop_ids[:1])
        for message in MESSAGES[1::2]
    )
    losses = []
    with torch.no_grad():
        for i in places:
            scores = model(input_ids=ids[:, :i]).logits[0, -1].double()
            losses.append(
                math.log(sum(torch.exp(scores - scores.max()).tolist()))
                + (scores.max() - scores[rendered.ids[i]]).item()
            )
    assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_example_beyond_the_positions_names_the_limit(family: str) -> None:
    config = tiny(family, 400).config
    check_positions(config, 128)
    with pytest.raises(DataError, match=r"129 tokens, the model has positions for 128: .*at most 128"):
        check_positions(config, 129)
