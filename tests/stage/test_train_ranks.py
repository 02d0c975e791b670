"""Ranks that are not those of the plan never train: what torch says of itself is compared before the first step."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from jobs.train.__main__ import run
from jobs.train.parallel import Replicated
from jobs.train.ranks import check_plan
from sftjobs.errors import SftError
from sftjobs.names import Exit
from tests.support.program_runner import run_here
from tests.support.training import train_config


@pytest.fixture
def together() -> Iterator[None]:
    """A real group of one rank, which talks through gloo."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def trainer(device: str = "cpu") -> Any:
    """As far as the check looks at it."""
    return SimpleNamespace(
        args=SimpleNamespace(device=torch.device(device)), parallel=Replicated(), model_wrapped=nn.Linear(1, 1)
    )


def test_ranks_that_train_apart() -> None:
    with pytest.raises(SftError, match="1 of 2 ranks train together: check WORLD_SIZE, MASTER_ADDR and MASTER_PORT"):
        check_plan(trainer(), train_config(world_size=2))


def test_another_device_than_planned() -> None:
    with pytest.raises(SftError, match="training is on cpu, the plan has cuda: check the devices of the container"):
        check_plan(trainer(), train_config(device="cuda"))


@pytest.mark.usefixtures("together")
def test_another_backend_than_planned() -> None:
    with pytest.raises(SftError, match="ranks talk through gloo, the plan has nccl for cuda"):
        check_plan(trainer("cuda"), train_config(device="cuda"))


@pytest.mark.usefixtures("together")
def test_copies_that_nothing_keeps_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    check_plan(trainer(), train_config())
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with pytest.raises(SftError, match="the model is a Linear instead of torch's DistributedDataParallel"):
        check_plan(trainer(), train_config(world_size=2))


def test_it_is_compared_before_the_first_step(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, Callable[[], object]] = {"is_initialized": lambda: True, "get_world_size": lambda: 2}
    monkeypatch.setattr("jobs.train.ranks.dist", SimpleNamespace(**answers))
    with pytest.raises(SftError, match="2 of 1 ranks train together") as caught:
        run_here(run, "jobs.train", train_config(), {"model": base, "data": data}, tmp_path)
    assert caught.value.exit_code == Exit.INFRASTRUCTURE
    assert (tmp_path / "output" / "info" / "metrics.jsonl").read_text() == ""
