"""The part of run.yaml about training on several tasks."""

from typing import Annotated, Literal

from pydantic import Field

from sftjobs.model import Document
from sftjobs.spec.numbers import Share

TaskPlanName = Literal["mixed", "separate", "key_tasks", "dual_stage"]
SHORT: dict[TaskPlanName, str] = {"mixed": "mixed", "separate": "sep", "key_tasks": "key", "dual_stage": "dual"}
"""In names of stages, which have to be short."""


class MultiTaskSpec(Document):
    """Ways to train on several tasks, side by side on the same held-out examples (docs/multi-task.md)."""

    plans: Annotated[list[TaskPlanName], Field(min_length=1)] = ["mixed"]
    """`mixed`: all tasks together. `separate`: a model for each task. `key_tasks`: all together, then the key tasks
    once more. `dual_stage`: the specialised tasks alone, then everything else with a share of these. The first one
    makes the tuned model of the run, the others are compared with it, task by task."""
    key_tasks: list[str] = []
    """For plan `key_tasks`: the tasks that come once more at the end."""
    key_epochs: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """For plan `key_tasks`: passes over the key tasks at the end."""
    specialised: list[str] = []
    """For plan `dual_stage`: the tasks that come first."""
    specialised_share: Share = 0.01
    """For plan `dual_stage`: so much of the specialised tasks is in each epoch of the second part (Dong et al., arXiv
    2310.05492)."""
