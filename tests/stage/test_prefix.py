"""The shared-prefix layout and the compact loss give the loss and the gradients of ordinary padded batches."""

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.llama import LlamaConfig
from transformers.models.mistral import MistralConfig
from transformers.models.qwen2 import Qwen2Config

from jobs.lm.prefix import (
    Batch,
    Layouts,
    Sequences,
    padded_batch,
    shared_prefix_batch,
    supports_shared_prefix,
    usable_prefix,
)
from jobs.lm.render import IGNORE
from jobs.lm.token_losses import scored_positions, summed_loss, token_losses
from jobs.train.model import add_lora
from tests.support.training import LORA

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**SIZES),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
}


def make_model(name: str, method: str = "full") -> PreTrainedModel | PeftModel:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation="sdpa")
    if method == "full":
        return base
    model = add_lora(base, LORA)
    for parameter_name, parameter in model.named_parameters():
        if "lora_B" in parameter_name:
            nn.init.normal_(parameter, std=0.1)  # an adapter that changes something
    return model


def make_sequences(prefix: int = 20, rests: tuple[int, ...] = (3, 9, 5, 6), answers: int = 2) -> Sequences:
    generator = torch.Generator().manual_seed(1)
    common = torch.randint(3, 97, (prefix,), generator=generator).tolist()
    ids = [
        [*common, number + 3, *torch.randint(3, 97, (length,), generator=generator).tolist()]
        for number, length in enumerate(rests)
    ]
    labels = [[IGNORE] * (len(row) - answers) + row[-answers:] for row in ids]
    return Sequences(ids, labels)


def stock(model: nn.Module, sequences: Sequences) -> Tensor:
    """Summed loss from the logits of every position of a padded batch."""
    length = max(len(ids) for ids in sequences.ids)
    ids = torch.tensor([list(row) + [0] * (length - len(row)) for row in sequences.ids])
    labels = torch.tensor([list(row) + [IGNORE] * (length - len(row)) for row in sequences.labels])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in sequences.ids])
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE, reduction="sum")


def compact(model: nn.Module, batch: Batch) -> Tensor:
    with scored_positions(model, batch.positions):
        logits = model(**batch.inputs, use_cache=False).logits
    assert logits.shape[:2] == (1, len(batch.targets))
    return summed_loss(logits, batch.targets)


def gradients(model: nn.Module, loss: Tensor) -> Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def assert_close(model: nn.Module, expected: Tensor, found: Tensor) -> None:
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    one, other = gradients(model, expected), gradients(model, found)
    assert one.norm() > 0
    assert ((one - other).norm() / one.norm()).item() < 1e-5


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_both_layouts_give_the_stock_loss_and_gradients(name: str, method: str) -> None:
    model, sequences = make_model(name, method), make_sequences()
    assert supports_shared_prefix(model.config) is None
    assert usable_prefix(sequences) == 20
    assert_close(model, stock(model, sequences), compact(model, padded_batch(sequences, pad_id=0)))
    assert_close(model, stock(model, sequences), compact(model, shared_prefix_batch(sequences, 20)))


def test_the_loss_of_each_example_is_that_of_the_example_alone() -> None:
    model, sequences = make_model("llama"), make_sequences()
    batch = shared_prefix_batch(sequences, 20)
    with torch.no_grad(), scored_positions(model, batch.positions):
        losses = token_losses(model(**batch.inputs, use_cache=False).logits, batch.targets)
    for number, (ids, labels) in enumerate(zip(sequences.ids, sequences.labels, strict=True)):
        alone = stock(model, Sequences([ids], [labels])).item()
        assert losses[batch.owners == number].sum().item() == pytest.approx(alone, rel=1e-5)


def test_the_prefix_ends_before_the_position_that_predicts_the_first_supervised_token() -> None:
    ids = [[5, 6, 7, 8, 9], [5, 6, 7, 8, 10]]
    assert usable_prefix(Sequences(ids, [[IGNORE] * 4 + row[4:] for row in ids])) == 3
    assert usable_prefix(Sequences(ids, [[IGNORE, *row[1:]] for row in ids])) == 0
    assert usable_prefix(Sequences(ids, ids)) == 0
    same = [[5, 6, 7, 8]] * 2
    assert usable_prefix(Sequences(same, [[IGNORE] * 3 + [8]] * 2)) == 2
    model = make_model("llama")
    twice = Sequences(same, [[IGNORE] * 3 + [8]] * 2)
    assert_close(model, stock(model, twice), compact(model, shared_prefix_batch(twice, 2)))


def test_a_batch_without_supervised_tokens_is_a_differentiable_zero() -> None:
    model = make_model("llama", "lora")
    loss = compact(model, padded_batch(Sequences([[5]], [[IGNORE]]), pad_id=0))
    assert loss.item() == 0
    assert not gradients(model, loss).any()


def test_layouts_choose_the_cheaper_one() -> None:
    model = make_model("llama")
    layouts = Layouts(model.config, pad_id=0)
    assert layouts.reason is None
    assert layouts.lay_out(make_sequences(prefix=20)).shared
    assert not layouts.lay_out(make_sequences(prefix=1, rests=(30, 30, 30))).shared
    alone = make_sequences(rests=(4,))
    assert not layouts.lay_out(alone).shared
    shared = layouts.lay_out(make_sequences(prefix=20))
    assert shared.encoded == 20 + (3 + 9 + 5 + 6) + 4


@pytest.mark.parametrize(
    "config, attention, reason",
    [
        (MistralConfig(**SIZES, sliding_window=16), "sdpa", "sliding window of 16 tokens"),
        (Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=16, max_window_layers=1), "sdpa", "sliding"),
        (PretrainedConfig(model_type="mamba"), "sdpa", "architecture 'mamba' is not known"),
        (LlamaConfig(**SIZES), "flash_attention_2", "'flash_attention_2' takes no dense mask"),
    ],
)
def test_the_layout_is_refused_with_the_reason(config: PretrainedConfig, attention: str, reason: str) -> None:
    config._attn_implementation_internal = attention
    found = supports_shared_prefix(config)
    assert found is not None
    assert reason in found
