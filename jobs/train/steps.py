"""The optimizer steps of one rank, each with its micro batches laid out for the model."""

from dataclasses import dataclass

from torch.utils.data import Dataset

from jobs.lm.layout import Batch, Sequences
from jobs.lm.prefix import Layouts
from jobs.lm.render import IGNORE
from jobs.train.examples import TrainingSet
from jobs.train.order import micro_batches
from sftjobs.plan.configs import TrainConfig
from sftjobs.plan.sampler import Order


@dataclass(frozen=True)
class MicroBatch:
    """One forward and backward pass."""

    batch: Batch
    examples: list[int]
    """Numbers of the examples; empty for a filler that keeps ranks in step."""
    padded: int
    """Tokens that the layout with one row per example would encode."""


@dataclass(frozen=True)
class Step:
    """One optimizer step as this rank sees it."""

    number: int
    """From 0."""
    micro_batches: list[MicroBatch]
    supervised: int
    """Tokens with loss, over all ranks: what the summed loss is divided by."""
    tokens: int
    """Tokens of all examples of the step, over all ranks, without padding."""


class Steps(Dataset[Step]):
    """Step n (from 0); any of them is made without making those before it."""

    def __init__(
        self, examples: TrainingSet, order: Order, layouts: Layouts, config: TrainConfig, rank: int, pad_id: int
    ) -> None:
        self.examples = examples
        self._order = order
        self._layouts = layouts
        self._config = config
        self._rank = rank
        filler = Sequences(ids=[[pad_id]], labels=[[IGNORE]])
        self.filler = MicroBatch(layouts.lay_out(filler), [], 0)
        """Without a token that counts; it keeps ranks in step."""

    def __len__(self) -> int:
        return self._config.steps

    def __getitem__(self, number: int) -> Step:
        members = self._order.batch(number)
        data = self.examples
        size, ranks = self._config.micro_batch_size, self._config.world_size
        parts = micro_batches(members, data.tasks, data.lengths, size, ranks)
        return Step(
            number=number,
            micro_batches=[self._micro_batch(chunk) for chunk in parts[self._rank]],
            supervised=sum(data.supervised[index] for index in members),
            tokens=sum(data.lengths[index] for index in members),
        )

    def _micro_batch(self, chunk: list[int]) -> MicroBatch:
        data = self.examples
        if not chunk:
            return self.filler
        sequences = Sequences(
            [data.token_ids[index].tolist() for index in chunk], [data.labels[index].tolist() for index in chunk]
        )
        padded = len(chunk) * max(data.lengths[index] for index in chunk)
        return MicroBatch(self._layouts.lay_out(sequences), chunk, padded)
