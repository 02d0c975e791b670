"""What a baseline gives back, and what all of them are given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.eval.examples import Example
from sftjobs.program import Program
from sftjobs.spec.prompt import PromptSpec


@dataclass(frozen=True, slots=True)
class Task:
    """The held-out examples and what may be learned from."""

    program: Program
    prompt: PromptSpec
    train: Sequence[Example]
    held_out: Sequence[Example]
    seed: int

    @property
    def labels(self) -> list[str]:
        """Those of the prompt; empty where answers are no labels."""
        return list(self.prompt.labels)

    def progress(self, phase: str) -> Callable[[int], None]:
        """Tells how many held-out examples are done."""
        return lambda done: self.program.progress(phase, done, len(self.held_out))


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers of one baseline to the held-out examples, in their order."""

    texts: list[str]
    ended: list[bool] | None = None
    """Whether each answer came to its end; None: all did, they were chosen and not written."""
    about: dict[str, Any] = field(default_factory=dict)
    """For the report: how it was made."""
    notes: list[str] = field(default_factory=list)
    """What a person should know, as sentences."""
