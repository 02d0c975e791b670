"""The ranks are those of the plan, and train together: a launcher that starts them apart raises no error of its own."""

import torch.distributed as dist

from jobs.train.trainer import SftTrainer
from sftjobs.errors import SftError
from sftjobs.plan.configs import TrainConfig


def check_ranks(found: int, wanted: int, what: str) -> None:
    """Raises SftError if ranks are missing: each would train a model of its own on part of the data."""
    if found != wanted:
        raise SftError(
            f"{found} of {wanted} ranks {what}: check WORLD_SIZE, MASTER_ADDR and MASTER_PORT of the processes"
        )


def check_plan(trainer: SftTrainer, config: TrainConfig) -> None:
    """Before the first step, on the wrapped model. Raises SftError naming what is not as planned.

    What is compared is what torch and DeepSpeed say of themselves, not what they were asked for.
    """
    together = dist.get_world_size() if dist.is_initialized() else 1
    check_ranks(together, config.world_size, "train together")
    device = trainer.args.device.type
    if device != config.device:
        raise SftError(f"training is on {device}, the plan has {config.device}: check the devices of the container")
    if dist.is_initialized():
        backend, planned = dist.get_backend(), "nccl" if config.device == "cuda" else "gloo"
        if backend != planned:
            raise SftError(f"ranks talk through {backend}, the plan has {planned} for {config.device}")
    trainer.parallel.check(trainer.model_wrapped)
