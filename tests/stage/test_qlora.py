"""QLoRA: 4-bit weights against the published codebook, and an update that ends up on the base model of the files."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn

from jobs.lm.load import load_model
from jobs.train.__main__ import run
from jobs.train.export import ADAPTER, MODEL
from jobs.train.methods import qlora
from jobs.train.methods.qlora import quantized_layers
from jobs.train.model import open_for_training, parameter_counts
from sftjobs import names
from sftjobs.errors import DataError
from sftjobs.plan.configs import DevConfig
from sftjobs.program import Stopped
from tests.support.eval_data import loss_of
from tests.support.program_runner import Outcome, run_here
from tests.support.tiny import tiny_model
from tests.support.training import LORA, losses, stop_after, train_config, training_data, tree

bitsandbytes = pytest.importorskip("bitsandbytes")

# peft 0.21 asks transformers 5.23 for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

NF4 = [
    -1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0,
    0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0,
]  # fmt: skip
"""The codebook of appendix E of the paper, to 7 digits."""
BLOCK, OUTER = 64, 256
WIDEST = max(b - a for a, b in pairwise(NF4))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 64 weights: whole blocks."""
    return tiny_model(tmp_path_factory.mktemp("base"), hidden=64)


def opened(base: Path, **more: Any) -> PeftModel:
    torch.manual_seed(5)
    model = open_for_training(base, train_config("qlora", **more))
    assert isinstance(model, PeftModel)
    return model


def dequantized(layer: Any) -> Tensor:
    found: Tensor = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return found


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        out: Tensor = model.eval()(input_ids=torch.arange(3, 23)[None]).logits
    return out


def train(base: Path, data: Path, work: Path, **more: Any) -> Outcome:
    given = {name: more.pop(name) for name in ("change", "resume") if name in more}
    config = train_config("qlora", **more)
    return run_here(run, "jobs.train", config, {"model": base, "data": data}, work, **given)


def test_the_codebook_is_that_of_normal_quantiles() -> None:
    """Quantiles of N(0, 1) at 9 points from 0.9677083 to 1/2, and at 8 for the other side; the largest becomes 1."""
    normal = torch.distributions.Normal(0.0, 1.0)
    offset = 0.9677083
    above = normal.icdf(torch.linspace(offset, 0.5, 9)[:-1])
    below = -normal.icdf(torch.linspace(offset, 0.5, 8)[:-1])
    made = torch.cat([below, torch.zeros(1), above]).sort().values
    torch.testing.assert_close(made / made.max(), torch.tensor(NF4), rtol=0, atol=2e-6)


def test_every_weight_is_the_nearest_level_times_the_largest_of_its_block(base: Path) -> None:
    """Without double quantisation the largest is exact, so weights can be compared one by one."""
    weight = torch.randn(64, 128)
    packed, state = bitsandbytes.functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=False)
    torch.testing.assert_close(state.code, torch.tensor(NF4), rtol=0, atol=1e-6)
    blocks = weight.view(-1, BLOCK)
    largest = blocks.abs().amax(dim=1, keepdim=True)
    nearest = (blocks / largest)[..., None].sub(torch.tensor(NF4)).abs().argmin(-1)
    expected = torch.tensor(NF4)[nearest] * largest
    found = bitsandbytes.functional.dequantize_4bit(packed, state).view(-1, BLOCK)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert packed.numel() * 2 == weight.numel()


def test_frozen_linear_layers_are_in_4_bits_and_within_their_bound(base: Path) -> None:
    """Off by half the widest gap of two levels, and by the rounding of the block's largest weight to 8 bits."""
    model, plain = opened(base), dict(load_model(base).named_modules())
    layers = quantized_layers(model)
    assert len(layers) == 2 * 7
    names_of = {module: name for name, module in model.named_modules()}
    for layer in layers:
        state = layer.weight.quant_state  # type: ignore[union-attr]
        assert (state.quant_type, state.blocksize, state.nested, state.state2.blocksize) == ("nf4", BLOCK, True, OUTER)
        name = names_of[layer].removeprefix("base_model.model.").removesuffix(".base_layer")
        weight = plain[name].weight.detach()
        largest = weight.view(-1, BLOCK).abs().amax(dim=1)
        spread = (largest - largest.mean()).abs().max()
        off = (dequantized(layer) - weight).abs().view(-1, BLOCK).amax(dim=1)
        # An 8-bit code of a block of 256: neighbours differ by less than a fortieth of its largest number.
        assert (off <= largest * WIDEST / 2 + spread / 40 + 1e-6).all()
        assert (off > largest * WIDEST / 50).any(), "nothing was quantised"


def test_memory_and_parameters_of_4_bit_weights(base: Path) -> None:
    model = opened(base)
    small = sum(layer.weight.numel() for layer in quantized_layers(model))  # type: ignore[union-attr, misc]
    full = sum(value.numel() for name, value in load_model(base).named_parameters() if "proj" in name)
    assert small * 2 == full
    trainable, total = parameter_counts(model)
    plain = sum(value.numel() for value in load_model(base).parameters())
    assert total == plain + trainable
    assert trainable == sum(value.numel() for value in model.parameters() if value.requires_grad)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_update_is_exported_on_the_base_model_of_the_files(
    base: Path, data: Path, precision: str, tmp_path: Path
) -> None:
    outcome = train(base, data, tmp_path, precision=precision)
    assert losses(outcome)[-1] < losses(outcome)[0]
    merged = load_model(outcome.content / MODEL)
    apart = PeftModel.from_pretrained(load_model(base), str(outcome.content / ADAPTER))
    torch.testing.assert_close(logits(merged), logits(apart), rtol=1e-4, atol=1e-4)
    assert loss_of(tmp_path / "tuned", model=outcome.content / MODEL) != loss_of(tmp_path / "plain", model=base)
    assert (logits(merged) - logits(load_model(base))).abs().max() > 1e-2
    differences = outcome.report("train")["export"]["differences"]
    in_four_bits = differences.pop("base model as in its files, not in 4 bits")
    assert 0 < in_four_bits < 1
    assert set(differences) == {"merged adapter", "adapter on the base model", "exported model"}
    assert max(differences.values()) < 1e-4
    settings = (outcome.content / ADAPTER / "adapter_config.json").read_text()
    assert str(tmp_path) not in settings and "bitsandbytes" not in (outcome.content / MODEL / "config.json").read_text()


def test_a_stopped_training_ends_with_the_same_bytes(base: Path, tmp_path: Path) -> None:
    """Looks at the dev set in between leave the 4-bit weights as they are."""
    data = training_data(tmp_path / "data")
    (data / "dev.jsonl").write_text((data / "train.jsonl").read_text())
    dev = DevConfig(every_steps=2, metric=None, max_new_tokens=4, patience=None, max_examples=50)
    lora = LORA.model_copy(update={"dropout": 0.2})
    undisturbed = train(base, data, tmp_path / "undisturbed", lora=lora)
    with pytest.raises(Stopped):
        train(base, data, tmp_path / "part", lora=lora, change=stop_after(5))
    checkpoint = tmp_path / "part" / "checkpoints" / names.step_folder(5)
    resumed = train(base, data, tmp_path / "resumed", lora=lora, resume=checkpoint)
    assert tree(resumed.content) == tree(undisturbed.content)
    looking = train(base, data, tmp_path / "looking", lora=lora, dev=dev)
    assert losses(looking) == losses(undisturbed)


def test_without_the_library_the_message_says_what_to_install(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qlora.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"qlora needs the library bitsandbytes.*pip install 'sftjobs\[train\]'"):
        opened(base)


def test_the_model_in_4_bits_is_near_that_of_the_files(base: Path) -> None:
    """Another model, but its logits differ by a fifth of their size at most, even for one of random weights."""
    model, plain = opened(base), load_model(base)
    scale = logits(plain).abs().mean()
    assert 0 < (logits(model) - logits(plain)).abs().mean() / scale < 0.2
    assert math.isfinite(scale)
