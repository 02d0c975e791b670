"""Methods of tuning against their formulas and against peft; each trained, exported and opened again."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.optimizers import create_loraplus_optimizer
from torch import Tensor, nn

from jobs.lm.load import load_model
from jobs.train.__main__ import run
from jobs.train.export import ADAPTER, MODEL
from jobs.train.methods import METHODS
from jobs.train.model import open_for_training, parameter_counts
from sftjobs.plan.decide_train import LEARNING_RATE
from sftjobs.spec.train import MethodName
from tests.support.program_runner import run_here
from tests.support.training import ADAPTERS, LORA, LORA_PLUS, fill_adapter, losses, train_config

# peft 0.21 asks transformers 5.23 for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def opened(base: Path, method: MethodName) -> Any:
    torch.manual_seed(5)
    return open_for_training(base, train_config(method))


def filled(base: Path, method: MethodName) -> PeftModel:
    """With an adapter that changes something."""
    model = opened(base, method)
    torch.manual_seed(6)
    fill_adapter(model)
    assert isinstance(model, PeftModel)
    return model


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        out: Tensor = model(input_ids=torch.arange(3, 23)[None]).logits
    return out


def layer_of(model: PeftModel) -> Any:
    return next(module for name, module in model.named_modules() if name.endswith("q_proj"))


def test_every_method_of_the_spec_is_there() -> None:
    assert set(METHODS) == set(MethodName.__args__) == set(LEARNING_RATE)  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ADAPTERS)
def test_a_new_adapter_changes_nothing(base: Path, method: MethodName) -> None:
    torch.testing.assert_close(logits(opened(base, method)), logits(load_model(base)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ADAPTERS)
def test_parameters_are_as_many_as_the_formula_says(base: Path, method: MethodName) -> None:
    """rank (in + out) for each linear layer but the head; DoRA has a length for each output as well."""
    sizes = [
        (module.in_features, module.out_features)
        for name, module in load_model(base).named_modules()
        if isinstance(module, nn.Linear) and name != "lm_head"
    ]
    more = sum(out for _, out in sizes) if method == "dora" else 0
    assert parameter_counts(opened(base, method))[0] == sum(LORA.rank * (i + o) for i, o in sizes) + more


@pytest.mark.parametrize(
    ("method", "factor"),
    [
        ("lora", LORA.alpha / LORA.rank),
        ("lora_plus", LORA.alpha / LORA.rank),
        ("rslora", LORA.alpha / math.sqrt(LORA.rank)),
    ],
)
def test_low_rank_layers_compute_their_formula(base: Path, method: MethodName, factor: float) -> None:
    layer = layer_of(filled(base, method))
    weight, a, b = layer.base_layer.weight, layer.lora_A["default"].weight, layer.lora_B["default"].weight
    given = torch.randn(3, 7, weight.shape[1])
    torch.testing.assert_close(layer(given), given @ (weight + factor * b @ a).T, rtol=1e-5, atol=1e-5)


def test_dora_computes_its_formula(base: Path) -> None:
    """m (W + (alpha / r) B A) / |W + (alpha / r) B A|, with the length of each output's weights (equation 5)."""
    layer = layer_of(filled(base, "dora"))
    weight, a, b = layer.base_layer.weight, layer.lora_A["default"].weight, layer.lora_B["default"].weight
    moved = weight + LORA.alpha / LORA.rank * b @ a
    length = layer.lora_magnitude_vector["default"].weight
    given = torch.randn(3, 7, weight.shape[1])
    whole = length[:, None] * moved / moved.norm(dim=1, keepdim=True)
    torch.testing.assert_close(layer(given), given @ whole.T, rtol=1e-5, atol=1e-5)


def groups(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, tuple[float, float]]:
    """Name of a parameter -> its learning rate and weight decay."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_lora_plus_has_the_groups_of_its_paper(base: Path) -> None:
    config = train_config("lora_plus", weight_decay=0.1)
    model = open_for_training(base, config)
    optimizer = METHODS["lora_plus"].optimizer(model, config)
    assert optimizer is not None
    found = groups(optimizer, model)
    rate = config.learning_rate
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert found == {name: (rate * (LORA_PLUS.learning_rate_ratio if "lora_B" in name else 1), 0.1) for name in trained}
    stock = create_loraplus_optimizer(
        model,  # type: ignore[arg-type]
        torch.optim.AdamW,
        lr=rate,
        loraplus_lr_ratio=LORA_PLUS.learning_rate_ratio,
        loraplus_weight_decay=0.1,
    )
    assert found == groups(stock, model)


def test_with_a_ratio_of_one_lora_plus_is_lora(base: Path, data: Path, tmp_path: Path) -> None:
    """Step for step: the same losses, the same weights."""
    one = LORA.model_copy(update={"learning_rate_ratio": 1.0})
    inputs = {"model": base, "data": data}
    plus = run_here(run, "jobs.train", train_config("lora_plus", lora=one), inputs, tmp_path / "plus")
    plain = run_here(run, "jobs.train", train_config("lora"), inputs, tmp_path / "plain")
    assert losses(plus) == losses(plain)
    file = Path(ADAPTER) / "adapter_model.safetensors"
    assert (plus.content / file).read_bytes() == (plain.content / file).read_bytes()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["rslora", "dora", "lora_plus"])
def test_every_method_trains_and_exports(
    base: Path, data: Path, method: MethodName, precision: str, tmp_path: Path
) -> None:
    """The run itself opens both exports again and compares their logits with those of what was trained."""
    config = train_config(method, precision=precision, learning_rate=1e-3)
    outcome = run_here(run, "jobs.train", config, {"model": base, "data": data}, tmp_path)
    merged = load_model(outcome.content / MODEL)
    apart = PeftModel.from_pretrained(load_model(base), str(outcome.content / ADAPTER))
    torch.testing.assert_close(logits(merged), logits(apart), rtol=1e-3, atol=1e-3)
    assert (logits(merged) - logits(load_model(base))).abs().max() > 1e-3
