"""Number formats: what is trained is float32; what is frozen below an adapter may be bfloat16, and loses nothing."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn

from jobs.lm.architectures import windows
from jobs.lm.bfloat16_attention import MAX_BYTES, bfloat16_attention, kept
from jobs.lm.layout import rows_batch
from jobs.lm.load import load_model
from jobs.lm.prefix import usable_prefix
from jobs.train.export import MODEL, export
from jobs.train.methods.low_rank import add_adapter
from jobs.train.model import open_for_training
from tests.support.architectures import compact_loss, make_model, make_sequences
from tests.support.tiny import tiny_model
from tests.support.training import LORA, fill_adapter, train_config


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose files hold the given number format."""
    folder = tiny_model(tmp_path_factory.mktemp("base"))
    if request.param == "bfloat16":
        load_model(folder, torch.bfloat16).save_pretrained(folder)
    return folder


def dtypes(model: nn.Module, trained: bool) -> set[torch.dtype]:
    return {value.dtype for value in model.parameters() if value.requires_grad is trained}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_trained_is_float32(precision: str, base: Path) -> None:
    full = open_for_training(base, train_config("full", precision=precision))
    assert dtypes(full, True) == {torch.float32} and not dtypes(full, False)
    lora = open_for_training(base, train_config("lora", precision=precision))
    assert dtypes(lora, True) == {torch.float32}
    assert dtypes(lora, False) == {getattr(torch, precision)}


def adapter(base: Path, precision: str) -> PeftModel:
    """A model with an adapter that changes it, the same for each precision."""
    torch.manual_seed(1)
    model = open_for_training(base, train_config("lora", precision=precision))
    assert isinstance(model, PeftModel)
    fill_adapter(model)
    return model


def test_merging_rounds_once(base: Path, tmp_path: Path) -> None:
    """The exported weights are base + update in float32, rounded to the number format of the base model's files."""
    model = adapter(base, "bfloat16")
    updates = {
        name.removeprefix("base_model.model."): module.get_delta_weight("default")
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight")
    }
    assert len(updates) == 14 and all(update.dtype == torch.float32 for update in updates.values())
    stored = load_file(base / "model.safetensors")
    export(model, base, [2], tmp_path)
    found = load_file(tmp_path / MODEL / "model.safetensors")
    assert {value.dtype for value in found.values()} == {value.dtype for value in stored.values()}
    for name, before in stored.items():
        update = updates.get(name.removesuffix(".weight"))
        exact = before.float() if update is None else before.float() + update
        torch.testing.assert_close(found[name], exact.to(before.dtype), rtol=0, atol=0)


def test_merging_is_the_same_from_frozen_weights_in_float32(base: Path, tmp_path: Path) -> None:
    models = {precision: adapter(base, precision) for precision in ("float32", "bfloat16")}
    trained = {name: value for name, value in models["bfloat16"].state_dict().items() if "lora_" in name}
    models["float32"].load_state_dict(trained, strict=False)
    for precision, model in models.items():
        export(model, base, [2], tmp_path / precision)
    one, other = (load_file(tmp_path / name / MODEL / "model.safetensors") for name in models)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("target", ["all-linear", "attention"])
def test_adapters_of_gpt2(target: str, tmp_path: Path) -> None:
    """Its layers hold their weights transposed."""
    base = make_model("gpt2")
    expected = base.transformer.h[0].attn.c_attn.weight.detach().clone()  # type: ignore[union-attr]
    model = add_adapter(base, LORA.model_copy(update={"target": target}))
    adapted = {name for name, module in model.named_modules() if hasattr(module, "get_delta_weight")}
    assert len(adapted) == (8 if target == "all-linear" else 4)
    fill_adapter(model)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        before = model.eval()(input_ids=ids).logits
        merged = model.merge_and_unload()
        torch.testing.assert_close(merged(input_ids=ids).logits, before, rtol=1e-4, atol=1e-5)
    assert not torch.equal(merged.transformer.h[0].attn.c_attn.weight, expected)


def attention_while_training(model: nn.Module, pairs: int, monkeypatch: pytest.MonkeyPatch, able: bool = True) -> str:
    monkeypatch.setattr("jobs.lm.bfloat16_attention.usable", lambda: able)
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    with bfloat16_attention(model, pairs):  # type: ignore[arg-type]
        inside = base.config._attn_implementation
    assert base.config._attn_implementation == "sdpa"
    return str(inside)


def test_attention_in_bfloat16_is_plain_products_where_they_fit(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapter(base, "bfloat16")
    fits = MAX_BYTES // kept(model.get_base_model().config, 1)
    assert attention_while_training(model, fits, monkeypatch) == "eager"
    assert attention_while_training(model, fits + 1, monkeypatch) == "sdpa"
    assert attention_while_training(model, fits, monkeypatch, able=False) == "sdpa"
    assert attention_while_training(load_model(base), fits, monkeypatch) == "eager"


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3_text", "mistral", "gpt2"])
def test_plain_products_give_the_losses_of_the_fused_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a shared prefix in one row with a dense mask, under autocast, with gradients."""
    monkeypatch.setattr("jobs.lm.bfloat16_attention.usable", lambda: True)
    found = []
    for pairs in (1, 2**60):
        model = make_model(name)
        sequences = make_sequences()
        batch = rows_batch(sequences, usable_prefix(sequences), windows(model.config))
        with bfloat16_attention(model, pairs), torch.autocast("cpu", torch.bfloat16):
            assert model.config._attn_implementation == ("eager" if pairs == 1 else "sdpa")
            loss = compact_loss(model, batch)
        loss.backward()
        found.append((loss.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])))
    (plain, gradient), (fused, expected) = found
    assert plain == pytest.approx(fused, rel=1e-2)
    assert (gradient - expected).norm() <= 3e-2 * expected.norm()
