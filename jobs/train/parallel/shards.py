"""A rank's part of a checkpoint under ZeRO: its float32 weights with the optimizer's state for them, and the schedule.

DeepSpeed's own `load_checkpoint` reads the files of all ranks, which other nodes do not have, and unpickles objects.
Here a rank reads its own file, as plain tensors. It fits only the same number of ranks, stage and parameter groups.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from sftjobs import names
from sftjobs.errors import CheckpointError

SHARD = "shard.pt"


def save(path: Path, optimizer: Any, schedule: LRScheduler) -> None:
    """Write the part of DeepSpeed's `optimizer` that this rank holds."""
    parts = partitions(optimizer)
    torch.save(
        {
            "weights": [part.detach().cpu() for part in parts],
            "states": [_on_cpu(optimizer.optimizer.state.get(part, {})) for part in parts],
            "schedule": schedule.state_dict(),
        },
        path,
    )


def load(checkpoint: Path, rank: int, optimizer: Any, schedule: LRScheduler) -> None:
    """Put them back, and the model's own weights with them. Collective. Raises CheckpointError if they do not fit."""
    path = checkpoint / names.rank_folder(rank) / SHARD
    saved = torch.load(path, map_location="cpu", weights_only=True)
    parts = partitions(optimizer)
    found = [tuple(one.shape) for one in saved["weights"]]
    expected = [tuple(one.shape) for one in parts]
    if found != expected:
        raise CheckpointError(
            f"checkpoint {checkpoint.name}: {path.parent.name}/{SHARD} has parts of {found} elements, this training "
            f"has {expected}: the model or the layout of DeepSpeed differs; "
            f"{CheckpointError.way_out}"
        )
    for part, weights, state in zip(parts, saved["weights"], saved["states"], strict=True):
        part.data.copy_(weights)
        optimizer.optimizer.state[part] = {name: _like(part, name, value) for name, value in state.items()}
    schedule.load_state_dict(saved["schedule"])
    # The schedule sets the rates after a step; those of the next one are the optimizer's.
    for group, rate in zip(optimizer.optimizer.param_groups, schedule.get_last_lr(), strict=True):
        group["lr"] = rate
    _refresh(optimizer)


def partitions(optimizer: Any) -> list[Tensor]:
    """This rank's float32 weights, flat, one tensor per parameter group (stage 3: sub group)."""
    found: list[Tensor] = (
        optimizer.fp32_partitioned_groups_flat
        if _partitions_weights(optimizer)
        else optimizer.single_partition_of_fp32_groups
    )
    return found


def shape_of(parameter: nn.Parameter) -> torch.Size:
    """Of the whole parameter: stage 3 leaves an empty tensor in its place."""
    shape: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    return shape


def _partitions_weights(optimizer: Any) -> bool:
    return hasattr(optimizer, "fp32_partitioned_groups_flat")


def _refresh(optimizer: Any) -> None:
    """Make the model's weights those of the optimizer, as DeepSpeed does after a step."""
    if not _partitions_weights(optimizer):
        optimizer.update_lp_params()
        return
    optimizer._partition_all_parameters()
    for number in range(len(optimizer.fp32_partitioned_groups_flat)):
        optimizer._reassign_or_swap_out_partitioned_parameters(number)
    if optimizer.persistent_parameters:  # these are whole on every rank
        optimizer.persistent_parameters[0].all_gather(optimizer.persistent_parameters)


def _on_cpu(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value.detach().cpu() if isinstance(value, Tensor) else value for name, value in state.items()}


def _like(part: Tensor, name: str, value: Any) -> Any:
    """The number of steps has the place that a fused optimizer gave it, moments are beside the weights."""
    return value.to(part.device) if isinstance(value, Tensor) else value
