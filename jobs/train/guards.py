"""A training that does not learn but destroys must say so, and leave nothing that looks like a tuned model.

The loss of a step is measured before its update, so the first one is that of the base model. What is far above it for
many steps in a row is not noise. All figures are those of the whole step over all ranks: every rank decides the same.
"""

import math
from collections.abc import Sequence

from jobs.train.checkpoint import Look, Point
from jobs.train.keep import goodness
from sftjobs.errors import DataError
from sftjobs.plan.configs import TrainConfig

WINDOW = 10
"""Steps in a row, or all but the first if there are fewer."""
MARGIN = 2.0
"""Nats per token above where the loss began: the probability of a right token has fallen to less than a seventh."""
SAMPLE = 16
"""Examples that tell where the loss began; with smaller batches, the third quartile of the losses of several steps."""
DEV_MARGIN = 0.5
DEV_RATIO = 1.25
"""A look is clearly worse than the first if its loss is larger by so many nats and by so much of it."""


class Guards:
    """Watches the losses of one training."""

    def __init__(self, config: TrainConfig, vocabulary: int) -> None:
        self._config = config
        self._uniform = math.log(vocabulary)
        """Loss of a model that knows nothing, nats."""
        self._first_steps = -(-SAMPLE // config.global_batch)

    def began(self, history: Sequence[Point]) -> float:
        """Where the loss began, nats per token.

        Small batches are noisy: then it is the third quartile of the first few losses, without those that are worse
        than knowing nothing: a training can also go wrong in its second step.
        """
        first = history[0].loss
        known = max(first, self._uniform)
        losses = sorted(point.loss for point in history[: self._first_steps] if point.loss <= known)
        return losses[3 * (len(losses) - 1) // 4]

    def diverged(self, history: Sequence[Point], ended: bool) -> Point | None:
        """The first of the last steps, if all of them are far above where the loss began."""
        window = history[1:][-WINDOW:]
        if not window or (len(window) < WINDOW and not ended):
            return None
        limit = self.began(history) + MARGIN
        return window[0] if all(point.loss > limit for point in window) else None

    def check_steps(self, history: Sequence[Point], ended: bool, saved: Sequence[int]) -> None:
        """Raises DataError if the training has diverged. `ended`: no more steps; `saved`: steps with a checkpoint."""
        start = self.diverged(history, ended)
        if start is None:
            return
        window = history[history.index(start) :]
        mean = sum(point.loss for point in window) / len(window)
        rate = max(point.learning_rate for point in history)
        good = max((step for step in saved if step < start.step), default=None)
        raise DataError(
            f"training diverged: the loss began at {self.began(history):.3g} nats per token and was {mean:.3g} over "
            f"steps {start.step} to {window[-1].step} (learning rate {rate:g}). "
            f"Nothing was exported; {_checkpoint(good)}. {self._way_out()}"
        )

    def check_look(self, look: Look) -> None:
        """Raises DataError if the loss of a look is not a number."""
        if not math.isfinite(look.loss):
            raise DataError(
                f"the dev loss after training step {look.step} is {look.loss}; nothing was exported. "
                + ("Look at the base model's weights" if look.step == 0 else self._way_out())
            )

    def check_kept(self, looks: Sequence[Look], kept: int, saved: Sequence[int]) -> None:
        """Raises DataError if the weights that would be exported, of step `kept`, are clearly worse than the base's.

        A better score of generated answers outweighs the loss.
        """
        found = [look for look in looks if look.step == kept]
        if not looks or looks[0].step != 0 or not found:
            return
        start, end = looks[0], found[0]
        if end.loss <= start.loss + DEV_MARGIN or end.loss <= start.loss * DEV_RATIO:
            return
        if end.metric is not None and goodness(end)[0] > goodness(start)[0]:
            return
        good = max((step for step in saved if step < kept), default=None)
        raise DataError(
            f"training made the model worse: its dev loss is {end.loss:.3g} nats per token after step {kept}, "
            f"{start.loss:.3g} before the first. Nothing was exported; {_checkpoint(good)}. {self._way_out()}"
        )

    def _way_out(self) -> str:
        rate = self._config.learning_rate
        more = "" if self._config.keep == "best" else "; train.keep: best with data.dev_fraction keeps what was best"
        return f"Lower train.learning_rate, e.g. to {rate / 10:g}{more}"


def _checkpoint(step: int | None) -> str:
    return "no checkpoint was made before" if step is None else f"the last good checkpoint is that of step {step}"
