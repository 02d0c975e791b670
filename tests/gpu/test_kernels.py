"""What is put on a model for a GPU, looked at from near."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from jobs.lm.architectures import windows
from jobs.lm.attention import attending
from jobs.lm.layout import packed_batch, rows_batch
from jobs.train.compiled import compiled_layers
from jobs.train.liger import liger_kernels
from tests.support.architectures import compact_loss, difference, gradients, make_model, make_sequences

CUDA = torch.device("cuda")
SIZES = {"head_dim": 64, "hidden_size": 256}
FAMILIES = ("llama", "qwen2", "qwen3", "gemma3_text", "mistral", "phi3", "olmo2", "granite", "smollm3")


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def on_gpu(name: str) -> nn.Module:
    model: nn.Module = make_model(name, **SIZES).to(CUDA)  # type: ignore[arg-type]
    return model


@pytest.mark.parametrize("prefix", [0, 20])
@pytest.mark.parametrize("name", FAMILIES)
def test_flex_has_the_gradients_of_the_dense_mask(name: str, prefix: int) -> None:
    model = on_gpu(name)
    found = []
    for blocks in (False, True):
        batch = rows_batch(make_sequences(), prefix, windows(model.config), blocks=blocks)  # type: ignore[arg-type]
        with attending(model, "flex" if blocks else None):
            loss = compact_loss(model, batch.to(CUDA))
            found.append((loss.item(), gradients(model, loss)))
    (dense, expected), (flex, gradient) = found
    assert flex == pytest.approx(dense, rel=1e-4)
    assert difference(expected, gradient) < 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_liger_has_the_gradients_of_the_model_and_leaves_it_as_it_was(name: str) -> None:
    pytest.importorskip("liger_kernel")
    model = on_gpu(name)
    batch = packed_batch(make_sequences()).to(CUDA)
    loss = compact_loss(model, batch)
    expected, before = gradients(model, loss), [dict(vars(module)) for module in model.modules()]
    with liger_kernels(model, True):
        assert any("forward" in vars(module) for module in model.modules())
        fused = compact_loss(model, batch)
        gradient = gradients(model, fused)
    assert fused.item() == pytest.approx(loss.item(), rel=1e-4)
    assert difference(expected, gradient) < 1e-3
    assert [vars(module).keys() for module in model.modules()] == [one.keys() for one in before]


@pytest.mark.parametrize("name", FAMILIES)
def test_compiled_layers_have_the_gradients_of_the_model(name: str) -> None:
    model = on_gpu(name)
    batch = packed_batch(make_sequences()).to(CUDA)
    expected = gradients(model, compact_loss(model, batch))
    with compiled_layers(model, True):
        gradient = gradients(model, compact_loss(model, batch))
    assert difference(expected, gradient) < 1e-3
