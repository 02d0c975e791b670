"""The project's side of the benches of training: the real trainer, order, steps and layouts. See train_sides."""

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from jobs.lm.prefix import Layouts
from jobs.lm.render import IGNORE
from jobs.train.__main__ import training_order
from jobs.train.arguments import training_arguments
from jobs.train.determinism import make_repeatable
from jobs.train.engine import quiet
from jobs.train.examples import TrainingSet
from jobs.train.model import open_for_training
from jobs.train.steps import Steps
from jobs.train.trainer import SftTrainer
from sftjobs.plan.configs import LoraConfig, MixtureConfig, TrainConfig
from tests.bench.train_sides import LEARNING_RATE, LORA, Job, keep_gradients, read_rows, serve, start_adapter, timed

TASK = "task"


class Forced:
    """An order whose batches are given."""

    def __init__(self, batches: Sequence[Sequence[int]]) -> None:
        self._batches = batches
        self.steps = len(batches)

    def batch(self, step: int) -> list[int]:
        return list(self._batches[step])

    def epoch_of(self, step: int) -> int:
        return 0


class Watch(TrainerCallback):
    """Losses of the steps, tokens that were encoded, and on demand the gradients of the first step."""

    def __init__(self, gradients: str | None) -> None:
        self.trainer: SftTrainer | None = None
        self.losses: list[float] = []
        self.encoded = 0
        self._gradients = gradients

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        if self._gradients is not None:
            keep_gradients(parts["model"], self._gradients)
            self._gradients = None

    def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        assert self.trainer is not None and self.trainer.step is not None
        self.losses.append(self.trainer.step_loss)
        self.encoded += sum(micro.batch.encoded for micro in self.trainer.step.micro_batches)


def training_set(job: Job) -> TrainingSet:
    """The rows as the train stage holds them."""
    ids, labels = read_rows(job)
    return TrainingSet(
        example_ids=[str(i) for i in range(len(ids))],
        tasks=[TASK] * len(ids),
        token_ids=[array("i", row) for row in ids],
        labels=[array("i", row) for row in labels],
        lengths=[len(row) for row in ids],
        supervised=[sum(label != IGNORE for label in row[1:]) for row in labels],
    )


def train_config(
    job: Job, steps: int, seed: int, max_grad_norm: float, group: bool, schedule: str = "constant"
) -> TrainConfig:
    """The plan of such a training."""
    lora = LoraConfig(rank=LORA["r"], alpha=LORA["lora_alpha"], dropout=0.0, target="all-linear")  # type: ignore[arg-type]
    return TrainConfig(
        method=job.method,  # type: ignore[arg-type]
        lora=None if job.method == "full" else lora,
        learning_rate=LEARNING_RATE,
        mixture=MixtureConfig(epochs={TASK: 1.0}),
        micro_batch_size=job.batch,
        gradient_accumulation_steps=1,
        world_size=1,
        steps=steps,
        warmup_steps=0,
        schedule=schedule,  # type: ignore[arg-type]
        weight_decay=0.0,
        max_grad_norm=max_grad_norm,
        precision="bfloat16" if job.bfloat16 else "float32",
        threads_per_process=1,
        max_tokens=4096,
        group_by_length=group,
        seed=seed,
    )


def make(job: Job, how: str) -> Callable[[dict[str, Any]], Any]:
    """`how`: "grouped" (examples of similar length come together over the epoch) or empty (random order)."""
    quiet()
    examples = training_set(job)

    def answer(request: dict[str, Any]) -> Any:
        if request["do"] == "adapter":
            return _make_adapter(job, request["path"])
        forced = request.get("batches")
        steps = len(forced) if forced else -(-len(examples.lengths) // job.batch)
        clip = 1e9 if forced else 1.0
        group = how == "grouped" and not forced
        config = train_config(job, steps, request.get("seed", 0), clip, group, request.get("schedule", "constant"))
        make_repeatable(config.seed, request.get("threads", 1))
        order: Any = Forced(forced) if forced else training_order(config, examples)
        model = open_for_training(Path(job.folder), config)
        if forced:
            start_adapter(model, job.adapter)
        pad_id = model.config.pad_token_id or 0
        batches = Steps(examples, order, Layouts(model.config, pad_id), config, 0, pad_id)
        trainer = SftTrainer(model, training_arguments(config, Path(mkdtemp())), batches, first=0)
        trainer.remove_callback(PrinterCallback)
        watch = Watch(request.get("gradients"))
        watch.trainer = trainer
        trainer.add_callback(watch)
        seconds = timed(trainer.train)
        return seconds | {"losses": watch.losses, "encoded": watch.encoded, "steps": len(watch.losses)}

    return answer


def _make_adapter(job: Job, path: str) -> Any:
    """An adapter that changes something: with B = 0, as it is made, the gradients of A would be zero."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    model = open_for_training(Path(job.folder), train_config(job, 1, 0, 1.0, False))
    state = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    save_file({n: torch.randn_like(p) * 0.01 if "lora_B" in n else p.contiguous() for n, p in state.items()}, path)
    return len(state)


if __name__ == "__main__":
    serve(make, ("torch", "transformers", "peft", "accelerate"))
