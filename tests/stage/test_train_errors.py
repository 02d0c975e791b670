"""What an error of a library means: the program's mistake, a machine's fault, or that another rank is gone."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from jobs.train.arguments import training_arguments
from jobs.train.engine import infrastructure_errors
from sftjobs.errors import PeerError, SftError
from tests.support.training import train_config

ASSERT = "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported"


@pytest.mark.parametrize(
    "error",
    [
        dist.DistBackendError("NCCL error: remote process exited or there was a network error"),
        dist.DistNetworkError("The client socket has timed out"),
        RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer"),
    ],
)
def test_another_rank_is_gone(error: Exception) -> None:
    with pytest.raises(PeerError, match="communication between ranks failed: "), infrastructure_errors():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"),
        torch.AcceleratorError("CUDA error: unspecified launch failure"),
        dist.DistBackendError("watchdog: CUDA error: unknown error"),
    ],
)
def test_the_gpu_is_broken(error: Exception) -> None:
    with pytest.raises(SftError, match="the GPU failed: ") as caught, infrastructure_errors():
        raise error
    assert not isinstance(caught.value, PeerError)


@pytest.mark.parametrize(
    "error",
    [torch.AcceleratorError(ASSERT), dist.DistBackendError(ASSERT), RuntimeError("shapes differ"), OSError(2, "gcc")],
)
def test_the_program_is_wrong(error: Exception) -> None:
    """A helper program that is missing, too: another attempt would not find it either."""
    with pytest.raises(type(error)) as caught, infrastructure_errors():
        raise error
    assert caught.value is error


@pytest.mark.parametrize(("patience_s", "seconds"), [(0, 1800), (900, 1800), (3600, 4200)])
def test_a_hang_is_found_by_the_agent_first(tmp_path: Path, patience_s: int, seconds: int) -> None:
    """It knows which rank is behind; gloo and NCCL only know that somebody did not come."""
    arguments = training_arguments(train_config("lora"), tmp_path, patience_s=patience_s)
    assert arguments.ddp_timeout == seconds
