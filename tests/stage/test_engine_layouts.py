"""Every layout of a micro batch gives the loss and the gradients of ordinary padded batches, for every architecture."""

from functools import cache

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from jobs.lm.architectures import ONE_ROW, windows
from jobs.lm.layout import Batch, Sequences, packed_batch, padded_batch, rows_batch
from jobs.lm.prefix import Layouts
from jobs.lm.token_losses import scored_positions, token_losses
from jobs.train.methods.low_rank import add_adapter
from sftjobs.errors import DataError
from tests.support.architectures import (
    WINDOW,
    compact_loss,
    difference,
    gradients,
    make_config,
    make_model,
    make_sequences,
    stock_loss,
)
from tests.support.training import LORA, fill_adapter

FAMILIES = ("gemma3_text", "gpt2", "llama", "mistral", "qwen2", "qwen3")
SEQUENCES = make_sequences()


def layouts_of(model: nn.Module, sequences: Sequences, prefix: int = 20) -> dict[str, Batch]:
    found = windows(model.config)  # type: ignore[arg-type]
    return {
        "padded": padded_batch(sequences, pad_id=0),
        "row": rows_batch(sequences, 0, found),
        "shared": rows_batch(sequences, prefix, found),
        "two rows": rows_batch(sequences, prefix, found, [[2, 3], [0, 1]]),
        "packed": packed_batch(sequences),
    }


@cache
def full_model(name: str, tied: bool) -> PreTrainedModel:
    return make_model(name, tie_word_embeddings=tied)


@cache
def lora_model(name: str) -> PeftModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = add_adapter(make_model(name), LORA)
        fill_adapter(model)
    return model


@cache
def expected(model: nn.Module) -> tuple[float, Tensor]:
    loss = stock_loss(model, SEQUENCES)
    return loss.item(), gradients(model, loss)


def assert_equal_to_stock(model: nn.Module, batch: Batch) -> None:
    loss, gradient = expected(model)
    found = compact_loss(model, batch)
    assert found.item() == pytest.approx(loss, rel=1e-6)
    assert gradient.norm() > 0
    assert difference(gradient, gradients(model, found)) < 1e-5


@pytest.mark.parametrize("layout", ["padded", "row", "shared", "two rows", "packed"])
@pytest.mark.parametrize("name", sorted(ONE_ROW))
def test_every_known_architecture(name: str, layout: str) -> None:
    """Where an architecture has windows, they are shorter than the examples."""
    model = full_model(name, name == "gpt2")
    assert_equal_to_stock(model, layouts_of(model, SEQUENCES)[layout])


@pytest.mark.parametrize("layout", ["padded", "row", "shared", "two rows", "packed"])
@pytest.mark.parametrize("name", FAMILIES)
def test_tied_heads_and_adapters(name: str, layout: str) -> None:
    for model in (full_model(name, True), lora_model(name)):
        assert_equal_to_stock(model, layouts_of(model, SEQUENCES)[layout])


@pytest.mark.parametrize("name", ["gemma3_text", "mistral", "qwen3"])
def test_a_window_matters_and_is_measured_by_position(name: str) -> None:
    """Without the window in the mask the loss differs: the comparison above can fail."""
    model = full_model(name, False)
    loss, _ = expected(model)
    assert compact_loss(model, rows_batch(SEQUENCES, 20)).item() != pytest.approx(loss, rel=1e-5)
    long = {kind: 30 if window else None for kind, window in windows(model.config).items()}
    mask = rows_batch(SEQUENCES, 20, long).inputs["attention_mask"]
    assert isinstance(mask, Tensor), "a window as long as the longest example (30) cuts nothing: one mask for all"
    assert torch.equal(mask, rows_batch(SEQUENCES, 20).inputs["attention_mask"])  # type: ignore[arg-type]
    assert WINDOW < 30


@pytest.mark.parametrize("name", FAMILIES)
def test_accumulation_does_not_matter(name: str) -> None:
    """Gradients of micro batches of 4, 2 and 1 examples add up to the same."""
    model = full_model(name, True)
    loss, gradient = expected(model)
    layouts = Layouts(model.config, pad_id=0)
    for size in (2, 1):
        cuts = [slice(start, start + size) for start in range(0, 4, size)]
        parts = [layouts.lay_out(Sequences(SEQUENCES.ids[cut], SEQUENCES.labels[cut])) for cut in cuts]
        total = sum((compact_loss(model, part) for part in parts), torch.zeros(()))
        assert total.item() == pytest.approx(loss, rel=1e-6)
        assert difference(gradient, gradients(model, total)) < 1e-5


@pytest.mark.parametrize("layout", ["row", "shared", "two rows", "packed"])
def test_the_loss_of_each_example_is_that_of_the_example_alone(layout: str) -> None:
    model = full_model("llama", True)
    batch = layouts_of(model, SEQUENCES)[layout]
    with torch.no_grad(), scored_positions(model, batch.positions):
        losses = token_losses(model(**batch.inputs, use_cache=False).logits, batch.targets)
    for number, (ids, labels) in enumerate(zip(SEQUENCES.ids, SEQUENCES.labels, strict=True)):
        alone = stock_loss(model, Sequences([ids], [labels])).item()
        assert losses[batch.owners == number].sum().item() == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_traps_of_packed_rows(name: str) -> None:
    """With a cache (the default of transformers) or a mask of ones, examples see those before them."""
    window = {} if name == "gpt2" else {"sliding_window": 64}  # a short one would hide what is too far away
    model = make_model(name, **window)
    loss, _ = expected(model)
    batch = packed_batch(SEQUENCES)
    assert set(batch.inputs) == {"input_ids", "position_ids"}
    with torch.no_grad():
        assert compact_loss(model, batch).item() == pytest.approx(loss, rel=1e-6)
        assert compact_loss(model, batch, use_cache=True).item() != pytest.approx(loss, rel=1e-4)
        batch.inputs["attention_mask"] = torch.ones((1, batch.encoded), dtype=torch.long)
        assert compact_loss(model, batch).item() != pytest.approx(loss, rel=1e-4)


def test_nothing_leaks_between_examples_of_a_row() -> None:
    """Other tokens in one example leave the losses of the others as they are, to the last digit."""
    model = full_model("llama", True)
    changed = Sequences([[*SEQUENCES.ids[0][:-4], 5, 6, 7, 8], *SEQUENCES.ids[1:]], SEQUENCES.labels)
    for one, other in zip(layouts_of(model, SEQUENCES).values(), layouts_of(model, changed).values(), strict=True):
        losses = []
        for batch in (one, other):
            with torch.no_grad(), scored_positions(model, batch.positions):
                losses.append(token_losses(model(**batch.inputs, use_cache=False).logits, batch.targets))
        of_others = one.owners > 0
        assert torch.equal(losses[0][of_others], losses[1][of_others])


def test_packing_is_refused_where_it_would_be_wrong() -> None:
    with pytest.raises(DataError, match=r"train\.packing: true: architecture 'mamba' is not known"):
        Layouts(PretrainedConfig(model_type="mamba"), pad_id=0, packing=True)
    with pytest.raises(DataError, match="use_bidirectional_attention"):
        Layouts(make_config("gemma3_text", use_bidirectional_attention=True), pad_id=0, packing=True)
    packed = Layouts(make_config("llama"), pad_id=0, packing=True).lay_out(Sequences([[5, 6]], [[-100, 6]]))
    assert packed.layout == "packed" and packed.encoded == 2
