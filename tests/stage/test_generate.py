"""Batched greedy answers are those of `model.generate`, one prompt after another."""

import random

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from jobs.lm.generate import Answer, generate
from sftjobs.program import Stopped
from tests.support.generation import answer_alone, random_llama

STOPS = [7, 300]


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return random_llama(0.5)


def _prompts(shared: int, count: int = 13, seed: int = 1) -> list[list[int]]:
    draw = random.Random(seed)
    start = [draw.randrange(10, 300) for _ in range(shared)]
    return [start + [draw.randrange(10, 300) for _ in range(draw.randint(1, 30))] for _ in range(count)]


def _one_by_one(model: PreTrainedModel, prompts: list[list[int]], limit: int) -> list[Answer]:
    return [answer_alone(model, prompt, limit, STOPS) for prompt in prompts]


@pytest.mark.parametrize("shared", [0, 1, 60])
def test_answers_equal_generation_one_by_one(model: PreTrainedModel, shared: int) -> None:
    prompts = _prompts(shared)
    expected = _one_by_one(model, prompts, 12)
    for batch_size in (1, 5, 64):
        found = generate(model, prompts, stop_ids=STOPS, max_new_tokens=12, batch_size=batch_size)
        assert found.answers == expected
        assert found.prefix_tokens >= shared
        assert found.refused is None
    assert model.config._attn_implementation == "sdpa"


def test_rows_that_end_leave_the_batch_and_others_go_on(model: PreTrainedModel) -> None:
    prompts = _prompts(40, count=30, seed=2)
    plain = generate(model, prompts, stop_ids=[383], max_new_tokens=12, batch_size=30)
    # Take as stop tokens what some rows say early, so that rows end at different steps.
    stops = sorted({answer.ids[place] for place, answer in enumerate(plain.answers) if 2 < place < 12})
    found = generate(model, prompts, stop_ids=stops, max_new_tokens=12, batch_size=30)
    for before, after in zip(plain.answers, found.answers, strict=True):
        length = next((i for i, token in enumerate(before.ids) if token in stops), len(before.ids))
        assert after == Answer(before.ids[:length], length < len(before.ids))
    assert len({len(answer.ids) for answer in found.answers}) > 2


def test_a_prompt_that_is_a_prefix_of_another_and_equal_prompts(model: PreTrainedModel) -> None:
    prompts = [[20, 30, 40], [20, 30, 40, 50], [20, 30, 40], [20, 30, 40, 50, 60, 70]]
    found = generate(model, prompts, stop_ids=STOPS, max_new_tokens=6, batch_size=4)
    assert found.answers == _one_by_one(model, prompts, 6)
    assert found.prefix_tokens == 2


def test_many_scores_are_taken_in_groups_of_rows(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = _prompts(50)
    whole = generate(model, prompts, stop_ids=STOPS, max_new_tokens=8, batch_size=16)
    monkeypatch.setattr("jobs.lm.prefix_attention.MAX_SCORES", 20_000)
    assert generate(model, prompts, stop_ids=STOPS, max_new_tokens=8, batch_size=16).answers == whole.answers


def test_an_architecture_that_cannot_share_a_prefix_is_answered_in_ordinary_batches() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=384, n_positions=128, n_embd=32, n_layer=2, n_head=4)).eval()
    model.generation_config.repetition_penalty = 1.5  # greedy means the plain argmax, whatever the model's file says
    prompts = _prompts(10)
    found = generate(model, prompts, stop_ids=STOPS, max_new_tokens=10, batch_size=8)
    model.generation_config.repetition_penalty = 1.0
    assert found.answers == _one_by_one(model, prompts, 10)
    assert found.prefix_tokens == 0
    assert "gpt2" in str(found.refused)


def test_a_request_to_stop_is_heard_between_batches(model: PreTrainedModel) -> None:
    done: list[int] = []
    with pytest.raises(Stopped, match="8 of 13 answers"):
        generate(
            model,
            _prompts(5),
            stop_ids=STOPS,
            max_new_tokens=2,
            batch_size=4,
            on_progress=done.append,
            stop_requested=lambda: len(done) == 2,
        )
    assert done == [4, 8]


def test_no_prompts_no_answers(model: PreTrainedModel) -> None:
    assert generate(model, [], stop_ids=STOPS, max_new_tokens=2, batch_size=4).answers == []
