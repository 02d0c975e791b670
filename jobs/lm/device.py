"""Where a program computes: as planned, or not at all."""

import torch

from sftjobs.errors import DataError
from sftjobs.plan.configs import Device


def planned_device(device: Device, local_rank: int) -> torch.device:
    """The device of this rank. Raises DataError if a GPU was planned and there is none."""
    if device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available() or local_rank >= torch.cuda.device_count():
        raise DataError(
            f"the plan has a GPU for rank {local_rank} of this node, and PyTorch finds {torch.cuda.device_count()}: "
            "set gpus_per_node of the stage's resources to what the machine has (0 for CPU)"
        )
    return torch.device("cuda", local_rank)
