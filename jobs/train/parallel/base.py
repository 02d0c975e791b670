"""What the training loop has to know of the way in which ranks share a training."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from jobs.train.methods import TrainedModel


class Parallel(ABC):
    """One way. What is marked as collective has to be called by all ranks."""

    name: str
    """In checkpoints: one that was made in another way is refused."""
    settings: dict[str, Any] | None = None
    """DeepSpeed's config; None without it."""
    restores_late: bool = False
    """True if a checkpoint's weights have a place only once the Trainer has wrapped the model: it runs even with no
    step left."""

    def open(self, opened: Callable[[], TrainedModel]) -> TrainedModel:
        """What `opened` gives: the base model with what the method adds. Collective."""
        return opened()

    @abstractmethod
    def check(self, wrapped: nn.Module) -> None:
        """Raises SftError if the Trainer has wrapped the model in another way than planned."""

    @abstractmethod
    def rehearse(self, accelerator: Accelerator, wrapped: nn.Module, loss: Callable[[], Tensor]) -> None:
        """Called once before the first step of a process; `loss` is that of a micro batch that counts for nothing."""

    @abstractmethod
    def micro_batch(self, accelerator: Accelerator, wrapped: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Forward and backward pass of a micro batch happen inside; after the `last` one of a step ranks share."""

    @abstractmethod
    def backward(self, accelerator: Accelerator, wrapped: nn.Module, loss: Tensor) -> None:
        """Collective for the last micro batch."""

    def update(self, wrapped: nn.Module) -> Tensor | None:
        """Clip and update the weights, if that is not the Trainer's work: the gradient's norm before clipping.

        None if it is the Trainer's work. Collective.
        """
        return None

    @abstractmethod
    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Trainable parameters in float32 by name, complete on rank 0 and maybe empty elsewhere. Collective."""

    @abstractmethod
    def save(self, folder: Path, rank: int, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler) -> None:
        """Write weights and optimizer into this rank's `folder` of a checkpoint."""

    @abstractmethod
    def load_weights(self, checkpoint: Path, model: nn.Module) -> None:
        """Put the weights of a checkpoint into a model that is not wrapped yet, where that is possible."""

    @abstractmethod
    def load(self, checkpoint: Path, rank: int, optimizer: Optimizer, schedule: LRScheduler) -> None:
        """Put the optimizer, and weights that `load_weights` could not, where the checkpoint left them. Collective.

        Raises CheckpointError if they are those of another model.
        """

    @abstractmethod
    def whole(self, model: TrainedModel, weights: dict[str, Tensor], base: Path) -> TrainedModel:
        """A complete model with `weights` that can be exported by rank 0 alone."""
