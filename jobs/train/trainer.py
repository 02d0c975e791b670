"""A thin subclass of `transformers.Trainer`: whole optimizer steps as batches, loss at supervised positions only.

The Trainer keeps what it is good at (optimizer, schedule, clipping, distributed wrapping, mixed precision). One item of
its data loader is one optimizer step with all its micro batches, so the loss can be divided by the supervised tokens of
the whole step: it does not depend on how the step is cut into micro batches, accumulation and ranks.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from peft.helpers import disable_input_dtype_casting
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from jobs.lm.bfloat16_attention import bfloat16_attention
from jobs.lm.onednn import onednn_linears
from jobs.lm.token_losses import scored_positions, summed_loss
from jobs.train.computing import Computing
from jobs.train.determinism import seed_step
from jobs.train.methods import TrainedModel
from jobs.train.parallel import Parallel, Replicated
from jobs.train.steps import MicroBatch, Step, Steps
from sftjobs.errors import DataError
from sftjobs.phases import Phase


class SftTrainer(Trainer):
    """Trains on `steps` from step `first` on."""

    def __init__(
        self,
        model: TrainedModel,
        arguments: TrainingArguments,
        steps: Steps,
        first: int,
        optimizer: Optimizer | None = None,
        schedule: Callable[[Optimizer], LRScheduler | None] = lambda _: None,
        parallel: Parallel | None = None,
        doing: Callable[[Phase, int], None] = lambda phase, step: None,
        computing: Computing | None = None,
    ) -> None:
        """`optimizer`: None for AdamW with `arguments`; `schedule`: gives None for that of `arguments`.

        `parallel`: how ranks share the work; None: copies (DDP). `doing`: told where this rank is (`Program.doing`).
        `computing`: how its passes are computed.
        """
        super().__init__(model=model, args=arguments, train_dataset=steps, optimizers=(optimizer, None))
        self._schedule = schedule
        self.steps = steps
        self.first = first
        self.parallel = parallel or Replicated()
        self._computing = computing or Computing()
        self._own_optimizer = optimizer
        self._doing = doing
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.gradient_norm = math.nan
        """Of the last step over all ranks, before clipping."""
        self.step: Step | None = None
        """The step in progress, or the last one."""
        self.step_loss = math.nan
        """Mean loss per supervised token of that step over all ranks, nats."""

    def train(self, *arguments: Any, **named: Any) -> Any:
        assert self.model is not None
        # Once: to set the mode of a model with an adapter on each layer takes many milliseconds. A look puts it back.
        self.model.train()
        # Under autocast peft would make float32 of a layer's input, only for autocast to make bfloat16 of it again.
        with (
            disable_input_dtype_casting(self.model, active=self.args.bf16),
            # The compiler chooses products itself.
            nullcontext() if self._computing.compiled else onednn_linears(self.model),
            self._computing(self.model),
            self._attention(),
        ):
            return super().train(*arguments, **named)

    def _attention(self) -> AbstractContextManager[None]:
        if not self.args.bf16 or self.args.device.type != "cpu" or self._computing.attention is not None:
            return nullcontext()
        rows, longest = self.args.per_device_train_batch_size, max(self.steps.examples.lengths)
        return bfloat16_attention(self.model, rows * longest**2)

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        # The Trainer forgets a given optimizer, and with it the groups of LoRA+, when it starts DeepSpeed.
        self.optimizer = self.optimizer or self._own_optimizer
        made: Optimizer = super().create_optimizer(model)  # type: ignore[no-untyped-call]
        return made

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        given = optimizer or self.optimizer
        assert given is not None
        own = self._schedule(given)
        if own is None:
            made: LRScheduler = super().create_scheduler(num_training_steps, optimizer)
            return made
        self.lr_scheduler = own
        return own

    def get_train_dataloader(self) -> "DataLoader[Step]":
        # A generator of its own: by default a loader draws a seed from the global one whenever it starts.
        return DataLoader(
            self.steps,
            batch_size=None,
            sampler=range(self.first, len(self.steps)),
            collate_fn=_as_it_is,
            generator=torch.Generator(),
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Step], num_batches: int, device: torch.device
    ) -> tuple[list[Step], None]:
        self._doing(Phase.DATA, self.state.global_step + 1)
        # The Trainer looks at the wish to stop after a step only, which a look before the first one may have had.
        step = None if self.control.should_training_stop else next(epoch_iterator, None)
        return ([] if step is None else [step]), None

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Forward and backward over the micro batches of one step; returns its loss on this rank."""
        step: Step = inputs
        self.step = step
        self._doing(Phase.PASSES, step.number + 1)
        seed_step(self.args.seed, step.number, self.args.process_index)
        total = torch.zeros((), dtype=torch.float64, device=self.args.device)
        suspects: list[int] = []
        for number, micro in enumerate(step.micro_batches, start=1):
            last = number == len(step.micro_batches)
            with self.parallel.micro_batch(self.accelerator, model, last):
                loss = self._loss(model, micro)
                # The gradients of the ranks are averaged, so each one counts `world_size` times.
                self.parallel.backward(self.accelerator, model, loss * (self.args.world_size / step.supervised))
            total += loss.detach()
            if not torch.isfinite(loss):
                suspects += micro.examples
        self._agree_on_loss(total, step, suspects)
        return (total / step.supervised).float()

    def rehearse(self) -> None:
        """Before the first step of a process, whatever the way in which ranks share work needs then. Collective."""
        model = self.model_wrapped
        self.parallel.rehearse(self.accelerator, model, lambda: self._loss(model, self.steps.filler))

    def _loss(self, model: nn.Module, micro: MicroBatch) -> Tensor:
        """Summed loss of one micro batch, nats."""
        batch = micro.batch.to(self.args.device)
        # A packed row is told apart by its position ids only where there is neither a mask nor a cache.
        assert batch.layout != "packed" or "attention_mask" not in batch.inputs
        with self.compute_loss_context_manager(), scored_positions(model, batch.positions):
            logits = model(**batch.inputs, use_cache=False).logits
        return summed_loss(logits, batch.targets)

    def _agree_on_loss(self, total: Tensor, step: Step, suspects: list[int]) -> None:
        self._doing(Phase.AGREE, step.number + 1)
        if self.args.world_size > 1:
            dist.all_reduce(total)
        self.step_loss = total.item() / step.supervised
        if not math.isfinite(self.step_loss):
            self._refuse(f"the loss is {self.step_loss}", step, suspects)

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        assert self.step is not None
        self._doing(Phase.UPDATE, self.step.number + 1)
        norm = self.parallel.update(model)
        if norm is None:
            # The Trainer would look for the trained weights among all others in every step.
            norm = clip_grad_norm_(self._trained, self.args.max_grad_norm)
        self.gradient_norm = norm.item()
        if not torch.isfinite(norm):
            self._refuse(f"the gradient's norm is {self.gradient_norm}", self.step, [])
        return norm

    def _refuse(self, what: str, step: Step, suspects: list[int]) -> None:
        """Raises DataError: weights that are not numbers must never be saved or exported."""
        members = suspects or [index for micro in step.micro_batches for index in micro.examples]
        shown = ", ".join(self.steps.examples.example_ids[index] for index in members[:8])
        more = f" and {len(members) - 8} more" if len(members) > 8 else ""
        raise DataError(
            f"training step {step.number + 1}: {what}; nothing was exported. Examples of this rank: {shown}{more}. "
            "A lower train.learning_rate usually helps; if it happens at step 1, look at the base model's weights"
        )

    def floating_point_ops(self, inputs: Any) -> int:
        return 0


def _as_it_is(step: Any) -> Any:
    return step
