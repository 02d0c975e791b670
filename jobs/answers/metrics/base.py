"""What a metric is: a score of one answer, and a value of many.

binary   right or wrong; the value is the share of right answers
mean     a number per answer; the value is their mean
set      a value of all answers together, e.g. macro F1; an answer by itself is right or wrong
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobs.answers.parse import Parsed

Kind = Literal["binary", "mean", "set"]
Line = Mapping[str, Any]
"""One line of predictions.jsonl."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer beside the expected one."""

    fields: Mapping[str, Any]
    """The example as the data stage wrote it: id, task, messages, ..."""
    expected_text: str
    text: str
    """What the model said."""
    expected: Parsed
    found: Parsed
    loss: "float | NotScored | None" = None
    """Mean loss per token of the expected answer (nats); None where the model was not asked."""


@dataclass(frozen=True, slots=True)
class NotScored:
    """Why a score could not be computed."""

    reason: str


Value = bool | float | NotScored


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    kind: Kind
    score: Callable[[Answered], Value]
    lower_is_better: bool = False
    bounded: bool = True
    """Whether every score lies between 0 and 1."""
    needs_loss: bool = False
    """Whether `Answered.loss` must be there."""
    formats: tuple[str, ...] | None = None
    """Output formats that it can be used with; None: any."""
    of_set: Callable[[Sequence[Line]], float] | None = None
    """For kind `set`: the value of lines of predictions.jsonl."""

    def value(self, lines: Sequence[Line]) -> float | None:
        """The value over lines of predictions.jsonl; lines without a score are left out. None if no line has one."""
        scored = [line for line in lines if line["scores"][self.name] is not None]
        if not scored:
            return None
        if self.of_set is not None:
            return self.of_set(scored)
        return math.fsum(line["scores"][self.name] for line in scored) / len(scored)
