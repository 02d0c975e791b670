"""Drawn answers: the right probabilities, and the same answers whatever the batch."""

import math
import random
from collections import Counter

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from jobs.lm.generate import Sampling, generate
from jobs.lm.sampling import Chooser, draw
from tests.support.generation import random_llama

STOPS = [7]


def _llama() -> PreTrainedModel:
    return random_llama(0.3)


def _gpt2() -> PreTrainedModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=384, n_positions=128, n_embd=32, n_layer=2, n_head=4)).eval()


def _prompts(count: int = 12) -> list[list[int]]:
    draws = random.Random(3)
    start = [draws.randrange(10, 300) for _ in range(30)]
    return [start + [draws.randrange(10, 300) for _ in range(draws.randint(1, 20))] for _ in range(count)]


@pytest.mark.parametrize("make", [_llama, _gpt2])
def test_answers_do_not_depend_on_the_batch(make: type) -> None:
    model, prompts, sampling = make(), _prompts(), Sampling(0.8, 0.9, seed=5)
    answers = [
        generate(model, prompts, stop_ids=STOPS, max_new_tokens=8, batch_size=size, sampling=sampling).answers
        for size in (1, 5, 12)
    ]
    assert answers[0] == answers[1] == answers[2]
    other = generate(model, prompts, stop_ids=STOPS, max_new_tokens=8, batch_size=5, sampling=Sampling(0.8, 0.9, 6))
    greedy = generate(model, prompts, stop_ids=STOPS, max_new_tokens=8, batch_size=5)
    assert other.answers != answers[0]
    assert greedy.answers != answers[0]


def test_equal_prompts_are_drawn_apart() -> None:
    found = generate(_llama(), [[20, 30, 40]] * 6, stop_ids=STOPS, max_new_tokens=6, batch_size=4, sampling=Sampling(1))
    assert len({tuple(answer.ids) for answer in found.answers}) > 3


def test_tokens_are_drawn_with_the_probabilities_of_the_temperature() -> None:
    logits = torch.tensor([1.0, 3.0, -2.0, 0.5, 2.0])
    expected = torch.softmax(logits / 0.7, 0).tolist()
    n = 20_000
    chooser = Chooser(Sampling(0.7, 1.0, seed=1))
    drawn = Counter(chooser.choose(logits.expand(n, -1), range(n)).tolist())
    for token, probability in enumerate(expected):
        # Five standard deviations of a binomial share.
        assert abs(drawn[token] / n - probability) < 5 * math.sqrt(probability * (1 - probability) / n)


def test_a_nucleus_is_the_fewest_tokens_that_make_up_top_p() -> None:
    logits = torch.log(torch.tensor([[0.05, 0.4, 0.1, 0.3, 0.15]]))
    grid = [i / 200 for i in range(200)]
    for top_p, kept in ((0.3, {1}), (0.5, {1, 3}), (0.75, {1, 3, 4}), (0.94, {1, 2, 3, 4}), (1.0, {0, 1, 2, 3, 4})):
        found = Counter(draw(logits.expand(200, -1), grid, 1.0, top_p).tolist())
        assert set(found) == kept
        mass = sum(math.exp(logits[0, token]) for token in kept)
        for token in kept:
            assert found[token] / 200 == pytest.approx(math.exp(logits[0, token]) / mass, abs=0.011)


def test_a_nucleus_wider_than_the_first_look() -> None:
    logits = torch.zeros(3, 2000)  # all alike: 90 % of the probability needs 1,800 tokens, more than are looked at
    logits[:, 1990:] = -50
    found = draw(logits, [0.0, 0.5, 1 - 1e-16], 1.0, 0.9)
    assert found.tolist()[1] in range(900, 1100)
    assert int(found.max()) < 1990


def test_the_last_draw_stays_among_the_kept_tokens() -> None:
    logits = torch.tensor([[2.0, 1.0, -1000.0, -1000.0]])
    assert draw(logits, [math.nextafter(1.0, 0.0)], 1.0, 1.0).item() == 1
