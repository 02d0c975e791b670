"""Paths that need a GPU, on as many as the machine has (1 to 8); without one, each test says why it was skipped.

SFTJOBS_REHEARSE_ON_CPU=1 runs what of them a CPU can do as well: it shows that the tests themselves work.
"""

import os
from pathlib import Path

import pytest
import torch

from sftjobs.plan.configs import Device
from tests.support.tiny import tiny_model
from tests.support.training import training_data

REHEARSAL = os.environ.get("SFTJOBS_REHEARSE_ON_CPU") == "1" and not torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.filterwarnings("default"))  # what libraries say on this machine is not tested
        if not torch.cuda.is_available() and not (REHEARSAL and item.get_closest_marker("on_cpu_too")):
            item.add_marker(pytest.mark.skip(reason=f"no CUDA GPU: torch {torch.__version__} finds none (docs/gpu.md)"))


@pytest.fixture(scope="session")
def device() -> Device:
    return "cpu" if REHEARSAL else "cuda"


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model with heads of 64, which every kernel takes, and examples with a common prompt."""
    folder = tmp_path_factory.mktemp("inputs")
    return {"model": tiny_model(folder / "base", hidden=256), "data": training_data(folder / "data")}
