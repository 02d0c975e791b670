"""Several GPUs train what one trains: NCCL with DDP and ZeRO, on 2, 4 and 8 of them, as many as there are."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sftjobs.plan.configs import Device
from tests.support.dist_cases import ENGINES, Variant, World, config_of
from tests.support.parity import distance
from tests.support.ranks import Case, Result, run_ranks

MICRO = {1: 8, 2: 2, 4: 2, 8: 1}
METHODS: tuple[Any, ...] = ("full", "lora")
TOLERANCE = 1e-4
"""Of loss and gradient norm; float32 products on a GPU are summed in another order on each."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def alone(world: World, device: Device, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """One GPU, no DeepSpeed."""
    cases = {
        method: Case(config_of(Variant(method, "DDP", 1, MICRO[1]), device=device), world.inputs())
        for method in METHODS
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DS_ACCELERATOR", device)
        return run_ranks(1, cases, tmp_path_factory.mktemp("alone"))


@pytest.mark.on_cpu_too
@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_equal_to_one_gpu(
    ranks: int,
    world: World,
    device: Device,
    alone: dict[str, Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = 2 if device == "cpu" else torch.cuda.device_count()
    if ranks > there:
        pytest.skip(f"{ranks} GPUs are needed, there are {there}")
    variants = [Variant(method, engine, ranks, MICRO[ranks]) for method in METHODS for engine in ENGINES]
    if device == "cpu":  # tests/dist has the others
        variants = variants[:2]
    monkeypatch.setenv("DS_ACCELERATOR", device)
    cases = {one.name: Case(config_of(one, device=device), world.inputs()) for one in variants}
    done = run_ranks(ranks, cases, tmp_path, timeout_s=1800)
    for variant in variants:
        result = done[variant.name]
        assert result.codes == [0] * ranks, result.messages
        found = distance(result.outcome, alone[variant.method].outcome, world.inputs()["model"])
        assert max(found.loss, found.gradient_norm) <= TOLERANCE, variant.name
        assert found.weights <= 1e-3 < found.moved, variant.name
