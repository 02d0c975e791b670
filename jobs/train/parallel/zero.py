"""DeepSpeed's ZeRO (Rajbhandari et al. 2020, arXiv 1910.02054): ranks share the optimizer (stage 1), gradients (2) and
weights (3); each keeps a part and nothing twice.

The Trainer wraps the model in DeepSpeed's engine. Everything else stays ours: the optimizer and its groups, the
schedule, the scale of the loss, what is non-finite, and the checkpoints, of which each rank writes its own part.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from jobs.train import checkpoint as files
from jobs.train.methods import TrainedModel
from jobs.train.model import open_for_training
from jobs.train.parallel import shards
from jobs.train.parallel.base import Parallel
from jobs.train.parallel.settings import deepspeed_settings
from sftjobs.errors import DataError, SftError
from sftjobs.plan.configs import TrainConfig


class Zero(Parallel):
    """Of the stage that `config.zero` names."""

    restores_late = True

    def __init__(self, config: TrainConfig) -> None:
        """Raises DataError if DeepSpeed is not installed."""
        assert config.zero is not None
        _prepare_deepspeed(config)
        self._config = config
        self.stage = config.zero.stage
        self.settings = deepspeed_settings(config)
        offload = config.zero.offload
        self.name = f"zero-{self.stage}" + ("" if offload == "none" else f" with {offload} on the CPU")

    def open(self, opened: Callable[[], TrainedModel]) -> TrainedModel:
        if self.stage < 3:
            return opened()
        with self._partitioned():
            model = opened()
        if self._config.precision == "bfloat16":
            # In stages 1 and 2 DeepSpeed does that; its optimizer makes float32 of it again.
            for value in model.parameters():
                if value.requires_grad:
                    value.data = value.data.bfloat16()
        return model

    @contextmanager
    def _partitioned(self) -> Iterator[None]:
        """`from_pretrained` keeps this rank's part of each weight as soon as it is read: no rank holds the model."""
        import deepspeed
        from transformers.integrations.deepspeed import HfDeepSpeedConfig, unset_hf_deepspeed_config

        # The ranks have met through torch; until DeepSpeed knows of it, it takes this one to be alone.
        deepspeed.init_distributed(dist_backend=torch.distributed.get_backend(), auto_mpi_discovery=False)
        # transformers finds it by a weak reference for as long as it lives.
        known = HfDeepSpeedConfig(self.settings)  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            del known
            unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]

    def check(self, wrapped: nn.Module) -> None:
        import deepspeed

        if not isinstance(wrapped, deepspeed.DeepSpeedEngine):
            raise SftError(
                f"training is not distributed as planned: the plan has train.zero.stage {self.stage}, the model is a "
                f"{type(wrapped).__name__} instead of DeepSpeed's engine"
            )
        if (found := int(wrapped.zero_optimization_stage())) != self.stage:
            raise SftError(f"the plan has train.zero.stage {self.stage}, DeepSpeed trains with stage {found}")

    def rehearse(self, accelerator: Accelerator, wrapped: nn.Module, loss: Callable[[], Tensor]) -> None:
        """Nothing: DeepSpeed's buckets stay as they are."""

    def micro_batch(self, accelerator: Accelerator, wrapped: nn.Module, last: bool) -> AbstractContextManager[None]:
        wrapped.set_gradient_accumulation_boundary(last)  # type: ignore[operator]
        return nullcontext()

    def backward(self, accelerator: Accelerator, wrapped: nn.Module, loss: Tensor) -> None:
        # accelerate would take the step here, before anybody has looked at the loss.
        wrapped.backward(loss, scale_wrt_gas=False)  # type: ignore[operator]

    def update(self, wrapped: nn.Module) -> Tensor | None:
        wrapped.step()  # type: ignore[operator]
        return torch.as_tensor(wrapped.get_global_grad_norm())  # type: ignore[operator]

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        from deepspeed.utils import safe_get_full_fp32_param

        first = torch.distributed.get_rank() == 0
        found = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                whole = safe_get_full_fp32_param(parameter)
                if first:  # one parameter at a time is whole elsewhere
                    found[name] = whole.detach().to("cpu", copy=True).view(shards.shape_of(parameter)).contiguous()
        return found

    def save(self, folder: Path, rank: int, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler) -> None:
        shards.save(folder / shards.SHARD, _inner(optimizer), schedule)

    def load_weights(self, checkpoint: Path, model: nn.Module) -> None:
        """Nothing: the parts belong into the optimizer, which comes later."""

    def load(self, checkpoint: Path, rank: int, optimizer: Optimizer, schedule: LRScheduler) -> None:
        shards.load(checkpoint, rank, _inner(optimizer), schedule)

    def whole(self, model: TrainedModel, weights: dict[str, Tensor], base: Path) -> TrainedModel:
        """The base model opened again in float32, on the CPU: the GPU may have no room for all of it."""
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        # With it, `from_pretrained` on rank 0 would wait for the other ranks.
        unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
        opened = open_for_training(base, self._config.model_copy(update={"precision": "float32"}))
        files.put_weights(weights, opened)
        weights.clear()  # the check of the export needs room for another model
        return opened


def _inner(optimizer: Optimizer) -> Any:
    """DeepSpeed's optimizer below accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


def _prepare_deepspeed(config: TrainConfig) -> None:
    if find_spec("deepspeed") is None:
        raise DataError(
            "train.zero needs DeepSpeed, which is not installed where the training runs: the train image has it; on "
            "a laptop pip install 'sftjobs[train]', or remove train.zero"
        )
    os.environ.setdefault("DS_ACCELERATOR", config.device)  # or it guesses, with a warning
    import deepspeed
    from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder

    # DeepSpeed 0.19 calls them several times in every step.
    for name in ("reduce_scatter_tensor", "all_gather_into_tensor"):
        warnings.filterwarnings("ignore", message=f"`torch.distributed.{name}` is deprecated", category=FutureWarning)
    # For inference only; it would be compiled when ranks meet, for 40 s and where there may be no compiler.
    deepspeed.ops.__compatible_ops__[ShareMemCommBuilder.NAME] = False
