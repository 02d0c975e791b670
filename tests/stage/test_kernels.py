"""`train.compile`, `train.liger` and the paged optimizer, as far as a CPU has them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.optim import PagedAdamW32bit

from jobs.lm.unwrap import layers_of
from jobs.train.__main__ import run
from jobs.train.compiled import compiled_layers
from jobs.train.methods import METHODS
from jobs.train.model import open_for_training
from sftjobs.errors import DataError
from tests.support.architectures import make_model
from tests.support.program_runner import run_here
from tests.support.slow import mostly_slow
from tests.support.training import losses, train_config

# Of torch's compiler: what it imports, and what it looks at.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]


FULL = {"method": "full"}
LORA = {"method": "lora", "activation_checkpointing": True, "packing": True}


@pytest.mark.parametrize("settings", mostly_slow([FULL, LORA], FULL))
def test_compiled_layers_train_the_same(settings: dict[str, Any], base: Path, data: Path, tmp_path: Path) -> None:
    """By the compiler for CPUs, through gradients, with rows of many lengths."""
    inputs = {"model": base, "data": data}
    torch._dynamo.utils.counters.clear()
    found = {
        on: run_here(run, "jobs.train", train_config(**settings, compile=on, steps=4), inputs, tmp_path / str(on))
        for on in (False, True)
    }
    assert losses(found[True]) == pytest.approx(losses(found[False]), rel=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


def test_what_was_compiled_is_only_used_while_training() -> None:
    model = make_model("llama")
    with compiled_layers(model, True):
        assert all(layer._compiled_call_impl is not None for layer in layers_of(model))
    assert all(layer._compiled_call_impl is None for layer in layers_of(model))


def test_liger_that_is_not_installed_is_named(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.liger: true needs the package liger-kernel"):
        run_here(run, "jobs.train", train_config(liger=True), {"model": base, "data": data}, tmp_path)


def test_qlora_has_the_paged_optimizer_where_the_plan_says_so(base: Path) -> None:
    config = train_config("qlora", optimizer="paged_adamw", weight_decay=0.1)
    model = open_for_training(base, config)
    optimizer = METHODS["qlora"].optimizer(model, config)
    assert isinstance(optimizer, PagedAdamW32bit) and optimizer.is_paged
    [group] = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (config.learning_rate, 0.1)
    assert len(group["params"]) == sum(value.requires_grad for value in model.parameters())
    assert METHODS["qlora"].optimizer(model, train_config("qlora")) is None
