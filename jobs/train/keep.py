"""Which weights become the tuned model, and when more steps are of no use: decided by looks at the dev set."""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from jobs.train import checkpoint
from jobs.train.checkpoint import Look
from jobs.train.disk import writing
from sftjobs import names
from sftjobs.plan.configs import TrainConfig
from sftjobs.program import Program


def goodness(look: Look) -> tuple[float, float]:
    """The larger, the better: the score if there is a metric, the loss otherwise and among equal scores."""
    if look.metric is None:
        return 0.0, -look.loss
    if look.score is None:
        return -math.inf, -look.loss
    return -look.score if look.lower_is_better else look.score, -look.loss


def best(looks: Sequence[Look]) -> Look | None:
    """The first of the best looks after the first step; None if there is none.

    The look before the first step is no candidate: its weights are the base model's.
    """
    return max((look for look in looks if look.step > 0), key=goodness, default=None)


def without_gain(looks: Sequence[Look]) -> int:
    """Looks in a row, up to the last, that were no better than the best; the one before the first step counts."""
    if not looks:
        return 0
    return len(looks) - 1 - looks.index(max(looks, key=goodness))


def stops_early(looks: Sequence[Look], patience: int | None) -> bool:
    """Whether the training is over (Goodfellow, Bengio and Courville 2016, "Deep Learning", algorithm 7.1)."""
    return patience is not None and without_gain(looks) >= patience


class Keeper:
    """Holds the best weights in a file of rank 0, which goes into checkpoints too."""

    def __init__(self, program: Program, config: TrainConfig) -> None:
        self._by_dev = config.keep == "best" and config.dev is not None
        self._sharded = config.zero is not None
        self._program = program
        self._file = program.output / "kept" / checkpoint.KEPT
        self._saved: int | None = None
        """Step of the weights in the file; None without one."""

    def resume(self, folder: Path, looks: Sequence[Look]) -> None:
        """Take the best weights from the checkpoint `folder` of a training that has had `looks`."""
        found = best(looks)
        if not self._by_dev or found is None or self._program.rank != 0:
            return
        part = folder / names.rank_folder(0)
        source = part / checkpoint.KEPT
        self._file.parent.mkdir(exist_ok=True)
        with writing(self._program.output, "the best weights"):
            # A checkpoint at the best step itself does not hold its weights twice.
            shutil.copyfile(source if source.is_file() else part / checkpoint.WEIGHTS, self._file)
        self._saved = found.step

    def consider(self, looks: Sequence[Look], weights: Callable[[], dict[str, Tensor]]) -> None:
        """Keep the `weights` if the last look is the best; all ranks ask for them then, and rank 0 gets them."""
        found = best(looks)
        if not self._by_dev or found is None or found is not looks[-1]:
            return
        state = weights()
        if self._program.rank != 0:
            return
        self._file.parent.mkdir(exist_ok=True)
        with writing(self._program.output, "the best weights"):
            save_file(state, self._file)
        self._saved = found.step

    def earlier_than(self, step: int) -> Path | None:
        """The file with the best weights, if they are not those of `step`."""
        return self._file if self._saved is not None and self._saved != step else None

    def for_checkpoint(self, step: int) -> Path | None:
        """What a checkpoint of `step` has to hold; shards are no weights that could be taken for the best ones."""
        return self._file if self._sharded and self._saved is not None else self.earlier_than(step)

    def chosen(self, looks: Sequence[Look], last: int) -> int:
        """The step whose weights become the tuned model, of a training that ended after step `last`."""
        found = best(looks) if self._by_dev else None
        return last if found is None else found.step

    def restore(self, model: nn.Module, last: int) -> None:
        """Put the best weights into `model`, which holds those of step `last`. Rank 0 only: it alone exports."""
        path = self.earlier_than(last)
        if path is not None:
            checkpoint.put_weights(load_file(path), model)

    def why(self, looks: Sequence[Look], last: int) -> str:
        """One sentence on `chosen`."""
        found = best(looks)
        if found is None:
            return f"step {last} is the last one; there was no dev set to choose by"
        if not self._by_dev:
            return f"step {last} is the last one, as train.keep: last asks"
        seen = f"dev loss {found.loss:.4g}" if found.score is None else f"{found.metric} {found.score:.4g}"
        after = [look for look in looks if look.step > 0]
        sentence = f"best of {len(after)} looks at the dev set: {seen}"
        start = looks[0]
        if start.step == 0 and goodness(start) >= goodness(found):
            sentence += "; no look was better than the one before the first step"
        return sentence
