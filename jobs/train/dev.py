"""Looks at the dev set: mean loss per supervised token, and on request the score of generated answers.

A look changes nothing of the training: no gradients, evaluation mode, the random state put back. All ranks share the
work, and each works out the same numbers: losses and scores are placed by number and summed in one order.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from jobs.lm.attention import attending
from jobs.lm.layout import Sequences
from jobs.lm.prefix import Layouts
from jobs.lm.render import Renderer
from jobs.lm.token_losses import scored_positions, summed_loss
from jobs.train.answers import Answering
from jobs.train.checkpoint import Look
from jobs.train.examples import TrainingSet, read_examples, rendered
from jobs.train.generator import generator
from sftjobs.errors import DataError
from sftjobs.plan.configs import DevConfig, TrainConfig
from sftjobs.plan.sampler import Mixture
from sftjobs.program import Program

DEV_FILE = "dev.jsonl"


class DevSet:
    """The dev examples that are looked at, and how."""

    def __init__(self, program: Program, config: TrainConfig, dev: DevConfig, renderer: Renderer) -> None:
        """Reads dev.jsonl of the input `data`. Raises DataError if it, or the metric, cannot be used."""
        self.settings = dev
        self._program = program
        self._config = config
        everything = read_examples(program.input("data") / DEV_FILE, whole=True)
        mixture = Mixture.of(config.mixture)
        lines = [everything[index] for index in mixture.drawn_from([line["task"] for line in everything])]
        if not lines:
            tasks = ", ".join(sorted(config.mixture.epochs))
            raise DataError(f"{DEV_FILE}: no example of {tasks}, which is trained on; raise data.dev_fraction")
        if len(lines) > dev.max_examples:
            chosen = random.Random(f"dev/{config.seed}").sample(range(len(lines)), dev.max_examples)
            lines = [lines[number] for number in sorted(chosen)]
        self.examples: TrainingSet = rendered(DEV_FILE, lines, renderer, config.max_tokens)
        self._batches = _cut(self.examples, config.micro_batch_size)
        self._answering = None
        if dev.metric is not None:
            self._answering = Answering(program, dev, dev.metric, lines, renderer, in_step(config))

    def due(self, step: int, last: int) -> bool:
        """Whether there is a look after `step`: before the first, every `every_steps`, after the last."""
        return step % self.settings.every_steps == 0 or step == last

    def look(self, model: nn.Module, layouts: Layouts, step: int, device: torch.device) -> Look:
        """Raises Stopped if answers are generated, and the only rank is asked to stop meanwhile."""
        with undisturbed(model), self._precision(device):
            loss = self._loss(model, layouts, device, step)
            if self._answering is None:
                return Look(step=step, loss=loss)
            # Generation brings masks of its own, a new shape with each token.
            with attending(model, "sdpa" if self._config.attention in ("flex", "flash_attention_2") else None):
                score = self._answering.score(*generator(model), lambda done: self._tell(step, done))
        metric = self._answering.metric
        return Look(step=step, loss=loss, metric=metric.name, lower_is_better=metric.lower_is_better, score=score)

    def _loss(self, model: nn.Module, layouts: Layouts, device: torch.device, step: int) -> float:
        """Mean per supervised token, nats."""
        sums = torch.zeros(len(self._batches), dtype=torch.float64)
        examples = self.examples
        for number, extra in self._mine():
            members = self._batches[number]
            sequences = Sequences(
                [examples.token_ids[index].tolist() for index in members],
                [examples.labels[index].tolist() for index in members],
            )
            batch = layouts.lay_out(sequences).to(device)
            with scored_positions(model, batch.positions):
                logits = model(**batch.inputs, use_cache=False).logits
            if extra:
                continue
            sums[number] = summed_loss(logits, batch.targets).item()
            self._tell(step, sum(map(len, self._batches[: number + 1])))
        return self._sum_up(sums) / sum(examples.supervised)

    def _mine(self) -> Iterator[tuple[int, bool]]:
        """Numbers of this rank's batches, and whether one is there only to keep ranks in step."""
        batches, rank, ranks = len(self._batches), self._program.rank, self._program.world_size
        last = -(-batches // ranks) * ranks if in_step(self._config) else batches
        for number in range(rank, last, ranks):
            yield min(number, batches - 1), number >= batches

    def _sum_up(self, values: Tensor) -> float:
        """Sum over all ranks; a place that is another rank's holds 0, so the sum does not depend on who did what."""
        if self._program.world_size > 1:
            placed = values.to("cuda" if dist.get_backend() == "nccl" else "cpu")
            dist.all_reduce(placed)
            values = placed.cpu()
        return float(values.sum().item())

    def _tell(self, step: int, done: int) -> None:
        of = len(self.examples.lengths)
        self._program.progress(
            "dev", step, self._config.steps, unit="steps", message=f"{min(done, of)} of {of} dev examples"
        )

    @contextmanager
    def _precision(self, device: torch.device) -> Iterator[None]:
        with torch.autocast(device.type, torch.bfloat16, enabled=self._config.precision == "bfloat16"):
            yield


def in_step(config: TrainConfig) -> bool:
    """Whether all ranks have to run the model equally often: with ZeRO-3 a layer's weights come from all of them."""
    return config.zero is not None and config.zero.stage == 3


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; mode and random state are put back."""
    was_training = model.training
    model.eval()
    try:
        with torch.random.fork_rng(), torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _cut(examples: TrainingSet, size: int) -> list[list[int]]:
    """Micro batches of examples of one task and of similar length; the same for any number of ranks."""
    numbers = range(len(examples.lengths))
    ordered = sorted(numbers, key=lambda index: (examples.tasks[index], examples.lengths[index], index))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
