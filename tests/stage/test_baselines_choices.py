"""The log-probability of every label at once is that of one label after one prompt, computed alone."""

import random

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from jobs.lm import choices
from jobs.lm.architectures import supports_shared_prefix
from jobs.lm.choices import answers_in_context, log_probabilities
from jobs.lm.render import Renderer
from jobs.lm.trie import tries
from sftjobs.program import Stopped
from tests.support.tiny import tiny_tokenizer

LABELS = ["balance", "bill_balance", "bill_due", "bill", "card_lost", "查询余额", "查询", "out_of_scope"]
SIZES = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    # Weights so large that what is likely changes with every token, unlike a usual random model.
    "initializer_range": 0.3,
}


def _model(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**SIZES)).eval()
    if family == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**SIZES)).eval()
    if family == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8)).eval()
    small = GPT2Config(vocab_size=384, n_embd=32, n_layer=2, n_head=4, n_positions=512, initializer_range=0.3)
    return GPT2LMHeadModel(small).eval()


def _conversations(count: int) -> list[list[dict[str, str]]]:
    draw = random.Random(3)
    words = ["money", "card", "please", "余额", "lost", "how", "much", "20", "bill"]
    start = "Answer with one label.\n" + "\n".join(f"- {label}: it" for label in LABELS)
    return [
        [
            {"role": "system", "content": "You sort messages."},
            {"role": "user", "content": f"{start}\n\nMessage: {' '.join(draw.choices(words, k=draw.randint(1, 9)))}"},
            {"role": "assistant", "content": "balance"},
        ]
        for _ in range(count)
    ]


@torch.inference_mode()
def _alone(model: PreTrainedModel, renderer: Renderer, conversation: list[dict[str, str]], label: str) -> float:
    """One forward call over one rendered conversation; loss where the renderer says that there is some."""
    asked = [*conversation[:-1], {"role": "assistant", "content": label}]
    rendered = renderer.render([asked])[0]
    ids = torch.tensor([rendered.ids])
    logits = torch.log_softmax(model(input_ids=ids).logits[0].double(), dim=-1)
    places = [place for place, wanted in enumerate(rendered.labels) if wanted != -100]
    return sum(float(logits[place - 1, rendered.ids[place]]) for place in places)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gpt2"])
@pytest.mark.parametrize("small", [False, True])
def test_equal_to_one_by_one(family: str, small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """`small`: so little memory that every batch is a row and the labels are many tries."""
    if small:
        monkeypatch.setattr(choices, "MAX_LOGITS", 384 * 8)
        monkeypatch.setattr(choices, "MAX_TOKENS", 1)
    model = _model(family)
    renderer = Renderer(tiny_tokenizer())
    asked = _conversations(7)
    answers = answers_in_context(renderer, asked, LABELS)
    assert all(one == answers[0] for one in answers)
    done: list[int] = []
    found = log_probabilities(model, renderer.prompts(asked), answers[0], on_progress=done.append)
    expected = [[_alone(model, renderer, one, label) for label in LABELS] for one in asked]
    assert torch.tensor(expected).std() > 1
    assert torch.allclose(torch.tensor(found), torch.tensor(expected), rtol=1e-5, atol=1e-5)
    assert done[-1] == len(asked)


def test_an_unknown_architecture_is_not_given_a_shared_prefix() -> None:
    config = _model("llama").config
    assert supports_shared_prefix(config) is None
    config.model_type = "unheard-of"
    assert supports_shared_prefix(config) is not None


def test_both_ways_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    model, renderer = _model("llama"), Renderer(tiny_tokenizer())
    asked = _conversations(5)
    prompts, answers = renderer.prompts(asked), answers_in_context(renderer, asked, LABELS)[0]
    fast = log_probabilities(model, prompts, answers)
    monkeypatch.setattr(choices, "supports_shared_prefix", lambda config: "not asked")
    slow = log_probabilities(model, prompts, answers)
    assert torch.allclose(torch.tensor(fast), torch.tensor(slow), rtol=1e-5, atol=1e-5)


def test_probabilities_of_all_next_tokens_sum_to_one() -> None:
    model = _model("llama")
    found = log_probabilities(model, [[5, 6, 7], [5, 9]], [[token] for token in range(384)])
    assert torch.tensor(found).exp().sum(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_a_single_prompt_and_prompts_that_are_alike() -> None:
    model = _model("llama")
    one = log_probabilities(model, [[5, 6, 7]], [[1, 2], [1, 3]])
    assert log_probabilities(model, [[5, 6, 7]] * 3, [[1, 2], [1, 3]]) == [pytest.approx(one[0], abs=1e-5)] * 3
    assert log_probabilities(model, [], [[1]]) == []


def test_answers_whose_tokens_depend_on_the_prompt() -> None:
    """A template without special tokens: the end of the question is joined with the beginning of the answer."""
    ending = "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    template = "{% for m in messages %}{{ m['content'] }}" + ending + "{% endfor %}"
    renderer = Renderer(tiny_tokenizer(template=template))
    asked = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": "balance"}]
        for question in ("one label: ", "label_", "Message: b")
    ]
    answers = answers_in_context(renderer, asked, LABELS)
    model = _model("llama")
    for conversation, prompt, own in zip(asked, renderer.prompts(asked), answers, strict=True):
        expected = [_alone(model, renderer, conversation, label) for label in LABELS]
        assert log_probabilities(model, [prompt], own)[0] == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_tries_hold_every_sequence_once() -> None:
    draw = random.Random(0)
    sequences = [[draw.randrange(3) for _ in range(draw.randint(1, 6))] for _ in range(40)]
    for limit in (1, 5, 1000):
        forest = tries(sequences, limit)
        assert sorted(index for trie in forest for index in trie.answers) == list(range(40))
        for trie in forest:
            assert len(trie.tokens) <= limit or len(trie.answers) == 1
            for owner, index in enumerate(trie.answers):
                mine = trie.owners == owner
                assert trie.targets[mine].tolist() == sequences[index]
                way = [trie.tokens[column - 1] for column in trie.columns[mine].tolist() if column]
                assert way == sequences[index][:-1]
    assert len(tries(sequences, 1000)) == 1


def test_a_request_to_stop() -> None:
    with pytest.raises(Stopped, match="0 of 2 prompts"):
        log_probabilities(_model("llama"), [[1, 2], [1, 3]], [[4]], stop_requested=lambda: True)


def test_bounded_memory_with_150_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """No forward call makes more logits than the limit."""
    model = _model("llama")
    largest = 0

    def seen(_module: object, _args: object, logits: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, logits.numel())

    model.get_output_embeddings().register_forward_hook(seen)
    monkeypatch.setattr(choices, "MAX_LOGITS", 384 * 100)
    draw = random.Random(0)
    labels = [[draw.randrange(384) for _ in range(draw.randint(2, 6))] for _ in range(150)]
    prompts = [[1] * 20 + [draw.randrange(384) for _ in range(draw.randint(1, 9))] for _ in range(20)]
    found = log_probabilities(model, prompts, labels)
    assert [len(row) for row in found] == [150] * 20
    assert 0 < largest <= 384 * 100
