"""What happens at the edge between two optimizer steps: restore, report, save, stop."""

import json
import time
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from jobs.train import checkpoint
from jobs.train.checkpoint import Point
from jobs.train.trainer import SftTrainer
from sftjobs.program import Program, Stopped


class StepEdge(TrainerCallback):
    """One per training; `history` holds every finished step, those before a resume included."""

    def __init__(self, program: Program, trainer: SftTrainer, history: list[Point]) -> None:
        self.history = history
        self.encoded = 0
        """Tokens this rank has encoded in this attempt, padding included."""
        self.padded = 0
        """Tokens that one row per example would have encoded."""
        self.shared_batches = 0
        self.micro_batches = 0
        self._program = program
        self._trainer = trainer
        self._learning_rate = 0.0
        self._saved_at = self._edge_at = time.monotonic()
        self._metrics = program.info / "metrics.jsonl"
        if program.rank == 0:
            self._metrics.write_text("".join(_line(point) for point in history), encoding="utf-8")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **parts: Any
    ) -> None:
        """Put optimizer and schedule where the checkpoint left them; the weights are in the model already."""
        if self._program.resume is not None and self._trainer.first:
            optimizer, schedule = checkpoint.load_optimizer(self._program.resume)
            parts["optimizer"].load_state_dict(optimizer)
            parts["lr_scheduler"].load_state_dict(schedule)
            state.global_step = self._trainer.first
        self._saved_at = self._edge_at = time.monotonic()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **parts: Any
    ) -> None:
        self._learning_rate = float(parts["lr_scheduler"].get_last_lr()[0])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **parts: Any) -> None:
        self._count()
        self._report(state.global_step, state.max_steps, self._learning_rate)
        stop, save = self._agree()
        if stop or save:
            checkpoint.save(
                self._program,
                parts["model"],
                parts["optimizer"],
                parts["lr_scheduler"],
                state.global_step,
                self.history,
            )
            self._saved_at = self._edge_at = time.monotonic()
        if stop:
            raise Stopped(f"saved after step {state.global_step} of {state.max_steps}")

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
        point = Point(step=step, loss=self._trainer.step_loss, learning_rate=learning_rate, tokens_per_s=round(rate, 1))
        self.history.append(point)
        if self._program.rank == 0:
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(_line(point))
        self._program.progress(
            "train", step, total, unit="steps", loss=point.loss, tokens_per_s=rate, learning_rate=learning_rate
        )

    def _agree(self) -> tuple[bool, bool]:
        """Whether to stop (if any rank was asked to) and whether to save (by the clock of rank 0)."""
        stop = self._program.stop_requested
        due = time.monotonic() - self._saved_at >= self._program.plan.operation.checkpoint_every_s
        if self._program.world_size == 1:
            return stop, due
        votes = torch.tensor(
            [stop, due and self._program.rank == 0], dtype=torch.long, device=self._trainer.args.device
        )
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return bool(votes[0]), bool(votes[1])


def _line(point: Point) -> str:
    return json.dumps(point.model_dump()) + "\n"
