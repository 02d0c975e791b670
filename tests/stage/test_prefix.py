"""Which layout a micro batch gets, where its prefix ends, and for which models a row of several examples is refused."""

import pytest
import torch
from transformers import PretrainedConfig

from jobs.lm.architectures import supports_one_row, supports_packing, supports_shared_prefix
from jobs.lm.layout import Sequences, padded_batch, rows_batch
from jobs.lm.layout_cost import Cost, cheapest_rows, cost_of
from jobs.lm.prefix import Layouts, usable_prefix
from jobs.lm.render import IGNORE
from tests.support.architectures import (
    compact_loss,
    difference,
    gradients,
    make_config,
    make_model,
    make_sequences,
    stock_loss,
)


def test_the_prefix_ends_before_the_position_that_predicts_the_first_supervised_token() -> None:
    ids = [[5, 6, 7, 8, 9], [5, 6, 7, 8, 10]]
    assert usable_prefix(Sequences(ids, [[IGNORE] * 4 + row[4:] for row in ids])) == 3
    assert usable_prefix(Sequences(ids, [[IGNORE, *row[1:]] for row in ids])) == 0
    assert usable_prefix(Sequences(ids, ids)) == 0
    same = [[5, 6, 7, 8]] * 2
    assert usable_prefix(Sequences(same, [[IGNORE] * 3 + [8]] * 2)) == 2
    model = make_model("llama")
    twice = Sequences(same, [[IGNORE] * 3 + [8]] * 2)
    expected = stock_loss(model, twice)
    found = compact_loss(model, rows_batch(twice, 2))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert difference(gradients(model, expected), gradients(model, found)) < 1e-5


def test_layouts_choose_the_cheaper_one() -> None:
    layouts = Layouts(make_model("llama").config, pad_id=0)
    assert layouts.reason is None
    shared = layouts.lay_out(make_sequences(prefix=20))
    assert shared.shared and shared.encoded == 20 + (3 + 9 + 5 + 6) + 4
    even = layouts.lay_out(make_sequences(prefix=1, rests=(30, 30, 30)))
    assert (even.layout, even.encoded) == ("padded", 3 * 32), "one row would compute nine times the pairs"
    alone = layouts.lay_out(make_sequences(rests=(4,)))
    assert alone.layout == "padded" and not alone.shared
    ragged = layouts.lay_out(make_sequences(prefix=0, rests=(60, 2, 3, 4)))
    assert (ragged.layout, ragged.prefix, ragged.encoded) == ("rows", 0, 61 + 3 + 4 + 5)


def test_examples_are_put_into_the_rows_that_cost_least() -> None:
    linear, quadratic = Cost(1.0, 0.0), Cost(0.0, 1.0)
    assert cheapest_rows([30, 9, 8, 7], 5, linear) == [[0, 1, 2, 3]], "one copy of the prefix, no padding"
    assert cheapest_rows([30, 29, 28, 7], 5, quadratic) == [[0], [1], [2, 3]], "three rows of 30 tokens"
    assert cheapest_rows([30, 30, 30], 0, quadratic) is None
    assert cheapest_rows([30], 0, linear) is None
    assert cheapest_rows([10, 10, 10, 10], 9, Cost(1.0, 0.01)) == [[0, 1, 2, 3]]
    lengths = [37 * index % 90 + 10 for index in range(16)]
    rows = cheapest_rows(lengths, 8, Cost(100.0, 1.0))
    assert rows is not None and 1 < len(rows) < 16
    assert sorted(index for row in rows for index in row) == list(range(16))


def test_an_unknown_model_gets_padded_batches() -> None:
    layouts = Layouts(PretrainedConfig(model_type="mamba"), pad_id=0)
    assert layouts.reason == "architecture 'mamba' is not known to have causal attention in every layer"
    assert layouts.lay_out(make_sequences()).layout == "padded"


@pytest.mark.parametrize("name", ["gemma3_text", "gpt2", "llama", "mixtral", "phi", "qwen3_moe", "starcoder2"])
def test_the_cost_of_a_token_is_that_of_the_weights_it_meets(name: str) -> None:
    model = make_model(name)
    outside = ("embed", "wte", "wpe", "lm_head", "gate.weight")
    layers = {key: value.numel() for key, value in model.named_parameters() if value.ndim > 1}
    inside = {key: size for key, size in layers.items() if not any(part in key for part in outside)}
    met = sum(size / 2 if "experts" in key else size for key, size in inside.items())  # 2 of 4 experts
    cost = cost_of(model.config)
    assert cost.linear * 2 == met * 2, "two layers, two operations per weight"
    assert cost.quadratic == 4 * 32


@pytest.mark.parametrize(
    "config, attention, reason",
    [
        (make_config("mistral", sliding_window=16), "sdpa", "sliding window of 16 tokens"),
        (make_config("qwen2"), "sdpa", "sliding"),
        (make_config("gpt2"), "sdpa", "architecture 'gpt2' is not known"),
        (PretrainedConfig(model_type="mamba"), "sdpa", "architecture 'mamba' is not known"),
        (make_config("llama"), "flash_attention_2", "'flash_attention_2' takes no mask of its own"),
    ],
)
def test_going_on_after_a_prefix_is_refused_with_the_reason(
    config: PretrainedConfig, attention: str, reason: str
) -> None:
    config._attn_implementation_internal = attention
    found = supports_shared_prefix(config)
    assert found is not None
    assert reason in found


def test_a_window_that_is_switched_off_is_none() -> None:
    config = make_config("qwen2", use_sliding_window=False, sliding_window=16, layer_types=None)
    config._attn_implementation_internal = "sdpa"
    assert supports_shared_prefix(config) is None


def test_one_row_is_refused_with_the_reason() -> None:
    chunked = make_config("llama")
    chunked.layer_types = ["chunked_attention", "full_attention"]
    assert supports_packing(chunked) == supports_one_row(chunked) == "layers of type chunked_attention"
    linear = make_config("qwen3")
    linear.layer_types = ["linear_attention", "full_attention"]
    assert supports_one_row(linear) == "layers of type linear_attention"
    flash = make_config("llama")
    flash._attn_implementation_internal = "flash_attention_2"
    assert supports_packing(flash) is None
    assert supports_one_row(flash) == "attention implementation 'flash_attention_2' takes no mask of its own"


def test_a_batch_moves_as_a_whole() -> None:
    batch = rows_batch(make_sequences(), 20, {"full_attention": None, "sliding_attention": 7})
    moved = batch.to(torch.device("meta"))
    masks = moved.inputs["attention_mask"]
    assert isinstance(masks, dict)
    assert {mask.device.type for mask in masks.values()} == {moved.positions.device.type} == {"meta"}
    assert padded_batch(make_sequences(), 0).to(torch.device("meta")).layout == "padded"
