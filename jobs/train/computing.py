"""How the forward and backward passes of a training are computed. What is learned is the same, to rounding."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from jobs.lm.attention import attending
from jobs.train.activation_checkpointing import activation_checkpointing
from jobs.train.compiled import compiled_layers
from jobs.train.liger import liger_kernels
from sftjobs.plan.configs import TrainConfig
from sftjobs.spec.train import AttentionName


@dataclass(frozen=True)
class Computing:
    """What the plan decided."""

    checkpointing: bool = False
    attention: AttentionName | None = None
    compiled: bool = False
    liger: bool = False

    @staticmethod
    def of(config: TrainConfig) -> "Computing":
        return Computing(config.activation_checkpointing, config.attention, config.compile, config.liger)

    @contextmanager
    def __call__(self, model: nn.Module) -> Iterator[None]:
        """Inside, `model` computes in this way. Raises DataError if it cannot."""
        with (
            attending(model, self.attention),
            activation_checkpointing(model, self.checkpointing),
            liger_kernels(model, self.liger),
            compiled_layers(model, self.compiled),
        ):
            yield
