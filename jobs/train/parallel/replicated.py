"""Every rank has all weights and the whole optimizer; gradients are averaged. One rank alone is the smallest case."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from jobs.train import checkpoint as files
from jobs.train.methods import TrainedModel
from jobs.train.parallel.base import Parallel
from sftjobs.errors import SftError


class Replicated(Parallel):
    """torch's DistributedDataParallel with several ranks, the bare model with one."""

    name = "ddp"

    def check(self, wrapped: nn.Module) -> None:
        several = dist.is_initialized() and dist.get_world_size() > 1
        if several and not isinstance(wrapped, DistributedDataParallel):
            raise SftError(
                f"training is not distributed as planned: the plan has several ranks without train.zero, the model is "
                f"a {type(wrapped).__name__} instead of torch's DistributedDataParallel"
            )

    def rehearse(self, accelerator: Accelerator, wrapped: nn.Module, loss: Callable[[], Tensor]) -> None:
        """One backward pass without loss, so that DDP has its final buckets from the first step on.

        It sorts gradients into buckets anew after the first pass. How a sum over more than two ranks is rounded depends
        on the place of a gradient in its bucket: without this, the first step after a resume would differ.
        """
        if isinstance(wrapped, DistributedDataParallel):
            wrapped.train()
            accelerator.backward(0.0 * loss())
            wrapped.zero_grad()

    def micro_batch(self, accelerator: Accelerator, wrapped: nn.Module, last: bool) -> AbstractContextManager[None]:
        context: AbstractContextManager[Any] = nullcontext() if last else accelerator.no_sync(wrapped)
        return context

    def backward(self, accelerator: Accelerator, wrapped: nn.Module, loss: Tensor) -> None:
        accelerator.backward(loss)

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        return files.trainable_state(model)

    def save(self, folder: Path, rank: int, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler) -> None:
        if rank == 0:
            save_file(files.trainable_state(model), folder / files.WEIGHTS)
            torch.save(
                {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, folder / files.OPTIMIZER
            )

    def load_weights(self, checkpoint: Path, model: nn.Module) -> None:
        files.load_weights(checkpoint, model)

    def load(self, checkpoint: Path, rank: int, optimizer: Optimizer, schedule: LRScheduler) -> None:
        states = files.load_optimizer(checkpoint)
        optimizer.load_state_dict(states[0])
        schedule.load_state_dict(states[1])

    def whole(self, model: TrainedModel, weights: dict[str, Tensor], base: Path) -> TrainedModel:
        return model
