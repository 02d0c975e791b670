"""Logits at the scored positions only: equal to those of every position, whatever makes or wraps the output layer."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from jobs.lm.architectures import windows
from jobs.lm.layout import Sequences, padded_batch, rows_batch
from jobs.lm.render import IGNORE
from jobs.lm.token_losses import output_head, scored_positions, summed_loss, token_losses
from sftjobs.errors import DataError
from tests.support.architectures import (
    compact_loss,
    difference,
    gradients,
    make_model,
    make_sequences,
    stock_loss,
)
from tests.support.training import fill_adapter

# peft 0.21 asks transformers 5.23 for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def adapted(**settings: Any) -> nn.Module:
    torch.manual_seed(0)
    model = get_peft_model(make_model("llama"), LoraConfig(r=4, task_type="CAUSAL_LM", **settings))
    fill_adapter(model)
    return model


class Wrapped(nn.Module):
    """As DistributedDataParallel and DeepSpeed do it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.config = module.config

    def forward(self, **inputs: Any) -> Any:
        return self.module(**inputs)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "tied": lambda: make_model("llama", tie_word_embeddings=True),
    "untied": lambda: make_model("llama", tie_word_embeddings=False),
    "soft-capped": lambda: make_model("gemma3_text", final_logit_softcapping=0.5),
    "divided": lambda: make_model("granite", logits_scaling=3.0),
    "multiplied": lambda: make_model("cohere", logit_scale=0.3),
    "with a bias": lambda: make_model("phi"),
    "trained copy of the head": lambda: adapted(target_modules="all-linear", modules_to_save=["lm_head"]),
    "adapter on the head": lambda: adapted(target_modules=["q_proj", "lm_head"]),
    "wrapped": lambda: Wrapped(make_model("llama")),
    "wrapped adapter": lambda: Wrapped(adapted(target_modules="all-linear")),
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_output_layer(name: str) -> None:
    model, sequences = MODELS[name](), make_sequences()
    stock = stock_loss(model, sequences)
    expected = gradients(model, stock)
    for batch in (padded_batch(sequences, 0), rows_batch(sequences, 20, windows(model.config))):
        loss = compact_loss(model, batch)
        assert loss.item() == pytest.approx(stock.item(), rel=1e-6)
        assert difference(expected, gradients(model, loss)) < 1e-5


@pytest.mark.parametrize("name", ["tied", "soft-capped", "trained copy of the head", "wrapped adapter"])
def test_a_batch_without_supervised_tokens_is_a_differentiable_zero(name: str) -> None:
    """A rank without examples goes through the same operations as the others, or they would wait for it."""
    model = MODELS[name]()
    loss = compact_loss(model, padded_batch(Sequences([[5]], [[IGNORE]]), pad_id=0))
    assert loss.item() == 0
    found = gradients(model, loss)
    assert len(found) == sum(value.numel() for value in model.parameters() if value.requires_grad)
    assert not found.any()


def test_the_hook_is_gone_after_the_call() -> None:
    model, sequences = make_model("llama"), make_sequences()
    with pytest.raises(RuntimeError, match="interrupted"), scored_positions(model, torch.tensor([1])):
        raise RuntimeError("interrupted")
    compact_loss(model, padded_batch(sequences, 0))
    assert model(input_ids=torch.tensor([[5, 6, 7]])).logits.shape[:2] == (1, 3)


def test_a_model_without_output_layer_is_named() -> None:
    with pytest.raises(DataError, match="BertModel has no output layer that makes logits"):
        output_head(BertModel(BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=1, intermediate_size=8)))
    with pytest.raises(DataError, match="Linear has no output layer"):
        output_head(nn.Linear(2, 2))


def test_logits_that_the_output_layer_did_not_make_are_noticed() -> None:
    """Such a model would otherwise be trained on logits of the wrong positions."""
    model = make_model("llama")

    def functional(input_ids: Tensor, **_: Any) -> CausalLMOutputWithPast:
        hidden = model.model(input_ids=input_ids, use_cache=False).last_hidden_state
        return CausalLMOutputWithPast(logits=hidden @ model.lm_head.weight.T)  # type: ignore[union-attr]

    model.forward = functional  # type: ignore[method-assign]
    with (
        pytest.raises(DataError, match="its output layer was called 0 times in a forward pass, expected once"),
        scored_positions(model, torch.tensor([1])),
    ):
        model(input_ids=torch.tensor([[5, 6]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_summed_loss_in_chunks_is_the_cross_entropy(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.lm.token_losses.CHUNK", 3 * 50)  # 3 rows at a time, 1 in the last
    torch.manual_seed(0)
    logits = (torch.randn(1, 10, 50) * 4).to(dtype)
    targets = torch.randint(0, 50, (10,))
    found, expected = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    ours = summed_loss(found, targets)
    stock = functional.cross_entropy(expected[0].float(), targets, reduction="sum")
    (ours * 0.25).backward()
    (stock * 0.25).backward()
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, stock, rtol=1e-6, atol=0)
    rounding = {"rtol": 1e-5, "atol": 1e-7} if dtype == torch.float32 else {"rtol": 1e-2, "atol": 1e-4}
    torch.testing.assert_close(found.grad, expected.grad, **rounding)
    each = functional.cross_entropy(logits[0].float(), targets, reduction="none")
    torch.testing.assert_close(token_losses(logits, targets), each, rtol=1e-6, atol=1e-7)


def test_no_gradient_is_made_where_none_is_asked_for() -> None:
    logits = torch.randn(1, 4, 9)
    assert not summed_loss(logits, torch.zeros(4, dtype=torch.long)).requires_grad
    assert token_losses(logits[:, :0], torch.zeros(0, dtype=torch.long)).tolist() == []
