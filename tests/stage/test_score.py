"""Batched scores are those of one forward call per conversation."""

import random

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models import gemma3, gpt2, llama, mistral, qwen3

from jobs.lm.layout import Sequences
from jobs.lm.render import IGNORE
from jobs.lm.score import score
from sftjobs.program import Stopped

SMALL = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
}
FAMILIES: dict[str, PreTrainedConfig] = {
    "llama": llama.LlamaConfig(**SMALL),
    "qwen3": qwen3.Qwen3Config(**SMALL),
    "mistral, window": mistral.MistralConfig(**SMALL, sliding_window=16),
    "gpt2": gpt2.GPT2Config(vocab_size=384, n_positions=256, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3),
    "gemma3": gemma3.Gemma3TextConfig(**SMALL, sliding_window=16),
}


def _model(name: str) -> PreTrainedModel:
    torch.manual_seed(2)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(FAMILIES[name], attn_implementation="sdpa")
    return model.eval()


def _sequences(shared: int, count: int = 17) -> Sequences:
    """Rows of many lengths: supervised at the end, in two turns, at one token, from the second token on, not at all."""
    draws = random.Random(5)
    start = [draws.randrange(10, 300) for _ in range(shared)]
    ids, labels = [], []
    for number in range(count):
        row = start + [draws.randrange(10, 300) for _ in range(draws.randint(8, 40))]
        first = len(row) - draws.randint(1, 6)
        marks = [IGNORE] * first + row[first:]
        if number % 4 == 1:
            marks[first - 3] = row[first - 3]
        if number % 4 == 2:
            marks[-1] = IGNORE  # what follows the answer, e.g. a line break
        ids.append(row)
        labels.append(marks)
    labels[3] = [IGNORE] * len(labels[3])
    labels[4] = list(ids[4])  # all of it, as in pretraining: nothing can be shared
    return Sequences(ids, labels)


def _one_by_one(model: PreTrainedModel, sequences: Sequences) -> list[list[float]]:
    losses: list[list[float]] = []
    for ids, labels in zip(sequences.ids, sequences.labels, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        each = functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none").tolist()
        losses.append([each[t - 1] for t in range(1, len(ids)) if labels[t] != IGNORE])
    return losses


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("shared", [0, 70])
def test_scores_equal_those_of_one_call_each(name: str, shared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, sequences = _model(name), _sequences(shared)
    expected = _one_by_one(model, sequences)
    for tokens in (1 << 11, 150):
        monkeypatch.setattr("jobs.lm.score.MAX_TOKENS", tokens)
        found = score(model, sequences)
        assert [len(one.losses) for one in found.scores] == [len(one) for one in expected]
        for one, losses in zip(found.scores, expected, strict=True):
            assert one.losses == pytest.approx(losses, abs=1e-5)
            assert one.summed == pytest.approx(sum(losses), abs=5e-5)
    assert found.scores[3].mean is None
    if name in {"llama", "qwen3"}:
        assert found.refused is None
        sharing = sum(bool(losses) for losses in expected) - 1  # without the row that is supervised from its start
        assert found.saved_tokens == (sharing - 1) * shared
    else:
        assert str(found.refused)
        assert found.saved_tokens == 0


def test_logits_bound_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sequences = _model("llama"), _sequences(20)
    done: list[int] = []
    monkeypatch.setattr("jobs.lm.score.MAX_LOGITS", 384 * 6)
    score(model, sequences, on_progress=done.append)
    assert max(b - a for a, b in zip([1, *done], done, strict=False)) <= 6
    assert done[-1] == 17


def test_a_request_to_stop_is_heard_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    monkeypatch.setattr("jobs.lm.score.MAX_TOKENS", 50)
    with pytest.raises(Stopped, match="conversations were scored"):
        score(_model("gpt2"), _sequences(5), on_progress=done.append, stop_requested=lambda: len(done) == 2)
    assert len(done) == 2


def test_nothing_to_score() -> None:
    assert score(_model("gpt2"), Sequences([], [])).scores == []
