"""jobs.train, in which one rank is held up at a step: TEST_AT_<step>=<rank>/loader or <rank>/collective.

loader: its next batch never comes. collective: it takes part in another one than the others, so that all wait.
"""

import os
import time

import torch.distributed as dist

import jobs.train.__main__ as training
from jobs.train.steps import Step, Steps
from jobs.train.trainer import SftTrainer
from sftjobs.phases import Phase
from sftjobs.program import main


def wanted(step: int, what: str) -> bool:
    return os.environ.get(f"TEST_AT_{step}") == f"{os.environ['RANK']}/{what}"


class SlowSteps(Steps):
    """Step n (from 0) never comes."""

    def __getitem__(self, number: int) -> Step:
        while wanted(number + 1, "loader"):
            time.sleep(1)
        return super().__getitem__(number)


class LostTrainer(SftTrainer):
    """Waits for a tensor that nobody sends, where the others add up."""

    def _agree_on_loss(self, total, step, suspects):
        if wanted(step.number + 1, "collective"):
            self._doing(Phase.AGREE, step.number + 1)
            dist.recv(total, src=0)
        super()._agree_on_loss(total, step, suspects)


if __name__ == "__main__":
    training.Steps, training.SftTrainer = SlowSteps, LostTrainer
    main(training.run)
