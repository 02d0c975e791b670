"""What happens at the edge between two optimizer steps: restore, report, look at the dev set, guard, save, stop."""

import json
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from jobs.lm.prefix import Layouts
from jobs.train import checkpoint
from jobs.train.checkpoint import Header, Look, Point
from jobs.train.dev import DevSet
from jobs.train.disk import writing
from jobs.train.guards import Guards
from jobs.train.keep import Keeper, stops_early
from jobs.train.methods import METHODS
from jobs.train.ranks import check_plan
from jobs.train.trackers import REPLAYED, Tracker, look_values, step_values
from jobs.train.trainer import SftTrainer
from sftjobs.model import Document
from sftjobs.phases import Phase
from sftjobs.plan.configs import TrainConfig
from sftjobs.program import Program, Stopped

SAVE_SHARE = 0.05
"""Of the time, at most this share goes into saving by the clock."""


class StepEdge(TrainerCallback):
    """One per training; `history` and `looks` hold everything, what was before a resume included."""

    def __init__(
        self,
        program: Program,
        config: TrainConfig,
        trainer: SftTrainer,
        layouts: Layouts,
        dev: DevSet | None,
        trackers: list[Tracker],
        header: Header | None,
    ) -> None:
        self.history: list[Point] = list(header.history) if header else []
        self.looks: list[Look] = list(header.looks) if header else []
        self.keeper = Keeper(program, config)
        self.look_seconds = 0.0
        """Wall time of the looks of this attempt."""
        self.encoded = 0
        """Tokens this rank has encoded in this attempt, padding included."""
        self.padded = 0
        """Tokens that one row per example would have encoded."""
        self.shared_batches = 0
        self.micro_batches = 0
        self._program = program
        self._config = config
        self._trainer = trainer
        self._layouts = layouts
        self._dev = dev
        self._trackers = trackers
        self._guards = Guards(config, trainer.model.config.get_text_config().vocab_size)
        self._checkpoints = [header.step] if header else []
        """Steps at which a checkpoint was made, as far as this attempt knows."""
        self._parallel = trainer.parallel
        self._learning_rate = 0.0
        self._save_s = 0.0
        """Wall time of the last save."""
        self._saved_at = self._edge_at = time.monotonic()
        self._metrics = program.info / "metrics.jsonl"
        if program.resume is not None and header is not None:
            self.keeper.resume(program.resume, self.looks)
        if program.rank == 0:
            lines = sorted([*self.history, *self.looks], key=lambda one: one.step)
            with writing(program.info, "the metrics"):
                self._metrics.write_text("".join(_line(one) for one in lines), encoding="utf-8")

    @property
    def step(self) -> int:
        """The last finished step."""
        return self.history[-1].step if self.history else 0

    @property
    def over(self) -> bool:
        """Whether no step is left to do."""
        return self.step >= self._config.steps or self.stopped_early

    @property
    def stopped_early(self) -> bool:
        """Whether the looks say that more steps are of no use, before the last one."""
        patience = self._dev.settings.patience if self._dev else None
        return self.step < self._config.steps and stops_early(self.looks, patience)

    @property
    def kept_step(self) -> int:
        """The step whose weights become the tuned model."""
        return self.keeper.chosen(self.looks, self.step)

    def asked_to_stop(self) -> bool:
        """Whether any rank was, so that none goes on into a step that the others never take. Collective."""
        return self._vote(self._program.stop_requested)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **parts: Any
    ) -> None:
        """Put optimizer, schedule and sharded weights where the checkpoint left them."""
        check_plan(self._trainer, self._config)
        self._trainer.rehearse()
        if self._program.resume is not None and self._trainer.first:
            self._parallel.load(self._program.resume, self._program.rank, parts["optimizer"], parts["lr_scheduler"])
            state.global_step = self._trainer.first
        for tracker in self._trackers:
            self._open(tracker, args, state)
        self.look_if_due()
        control.should_training_stop = self.over
        self._saved_at = self._edge_at = time.monotonic()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **parts: Any
    ) -> None:
        self._learning_rate = float(parts["lr_scheduler"].get_last_lr()[0])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **parts: Any) -> None:
        METHODS[self._config.method].after_step(parts["model"], parts["optimizer"], state.global_step, self._config)
        self._count()
        self._report(state.global_step, state.max_steps, self._learning_rate)
        stop, save = self._agree()
        # A look may take long: it is left to the attempt that goes on from here.
        stop = stop or not self.look_if_due()
        # What comes before a checkpoint is what a resumed training has to know: guards and looks come first.
        self._guards.check_steps(self.history, self.over, self._checkpoints)
        if stop or save:
            began = time.monotonic()
            self._save(state.global_step, parts["model"], parts["optimizer"], parts["lr_scheduler"])
            self._checkpoints.append(state.global_step)
            self._saved_at = self._edge_at = time.monotonic()
            self._save_s = self._saved_at - began
        if stop:
            raise Stopped(f"saved after step {state.global_step} of {state.max_steps}")
        control.should_training_stop = control.should_training_stop or self.over

    def look_if_due(self) -> bool:
        """Look at the dev set if that has to be done after the last step and is not done yet.

        False if the program was asked to stop and the look is left out.
        """
        dev, step = self._dev, self.step
        if dev is None or not dev.due(step, self._config.steps) or any(look.step == step for look in self.looks):
            return True
        if self._vote(self._program.stop_requested):
            return False
        self._program.doing(Phase.LOOK, step)
        started = time.monotonic()
        model = self._trainer.model
        try:
            look = dev.look(model, self._layouts, step, self._trainer.args.device)
        except Stopped:
            return False
        self._guards.check_look(look)
        self.looks.append(look)
        self.keeper.consider(self.looks, lambda: self._parallel.weights(model))
        self._write(look, look_values(look))
        self._edge_at = time.monotonic()  # the rate of the next step is that of training
        self.look_seconds += self._edge_at - started
        return True

    def _save(self, step: int, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler) -> None:
        self._program.doing(Phase.SAVE, step)
        checkpoint.save(
            self._program,
            lambda folder: self._parallel.save(folder, self._program.rank, model, optimizer, schedule),
            self._parallel.name,
            step,
            self.history,
            self.looks,
            self.keeper.for_checkpoint(step),
        )

    def check_kept(self) -> None:
        """Raises DataError if what would be exported is clearly worse than the base model."""
        self._guards.check_kept(self.looks, self.kept_step, self._checkpoints)

    def _open(self, tracker: Tracker, args: TrainingArguments, state: TrainerState) -> None:
        plan = self._program.plan
        tracker.begin(args, state, self._trainer.model, f"{plan.run}-{plan.stage}")
        every = max(1, len(self.history) // REPLAYED)
        for point in self.history[::every]:
            tracker.log(step_values(point), point.step)
        for look in self.looks:
            tracker.log(look_values(look), look.step)

    def _count(self) -> None:
        assert self._trainer.step is not None
        for micro in self._trainer.step.micro_batches:
            self.encoded += micro.batch.encoded
            self.padded += micro.padded
            self.shared_batches += micro.batch.shared
            self.micro_batches += 1

    def _report(self, step: int, total: int, learning_rate: float) -> None:
        assert self._trainer.step is not None
        now = time.monotonic()
        rate = self._trainer.step.tokens / max(now - self._edge_at, 1e-9)
        self._edge_at = now
        point = Point(
            step=step,
            loss=self._trainer.step_loss,
            learning_rate=learning_rate,
            tokens_per_s=round(rate, 1),
            gradient_norm=self._trainer.gradient_norm,
        )
        self.history.append(point)
        self._write(point, step_values(point))
        self._program.progress(
            "train", step, total, unit="steps", loss=point.loss, tokens_per_s=rate, learning_rate=learning_rate
        )

    def _write(self, one: Point | Look, values: dict[str, float]) -> None:
        if self._program.rank == 0:
            with writing(self._program.info, "the metrics"), self._metrics.open("a", encoding="utf-8") as file:
                file.write(_line(one))
        for tracker in self._trackers:
            tracker.log(values, one.step)

    def _agree(self) -> tuple[bool, bool]:
        """Whether to stop (if any rank was asked to) and whether to save (by the clock of rank 0)."""
        every_s = self._program.plan.operation.checkpoint_every_s
        if every_s:  # 0: after every step, whatever it costs
            every_s = max(every_s, self._save_s / SAVE_SHARE)
        due = time.monotonic() - self._saved_at >= every_s and self._program.may_save
        stop, save = self._votes(self._program.stop_requested, due and self._program.rank == 0)
        return stop, save

    def _vote(self, mine: bool) -> bool:
        return self._votes(mine)[0]

    def _votes(self, *mine: bool) -> list[bool]:
        """For each question, whether any rank says yes."""
        self._program.doing(Phase.AGREE, self.step)
        if self._program.world_size == 1:
            return list(mine)
        votes = torch.tensor(mine, dtype=torch.long, device=self._trainer.args.device)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return [bool(vote) for vote in votes]


def _line(one: Document) -> str:
    """A step has `loss`, a look `dev_loss`: a reader of metrics.jsonl must not mix them up."""
    values = one.model_dump()
    if isinstance(one, Look):
        values = {"step": one.step, "dev_loss": one.loss} | ({f"dev_{one.metric}": one.score} if one.metric else {})
    return json.dumps(values) + "\n"
