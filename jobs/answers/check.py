"""What is found out before a minute is spent on generation: can the expected answers be read and scored?"""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.answers.metrics import Answered, Metric, NotScored
from jobs.answers.parse import CLASSES, Parsed, Parser
from sftjobs.errors import DataError
from sftjobs.spec.prompt import PromptSpec


def check(
    metrics: Sequence[Metric],
    prompt: PromptSpec,
    parse: Parser,
    examples: Sequence[tuple[Mapping[str, Any], str]],
    side: str = "held-out",
) -> None:
    """Raises DataError if a metric is not for this output format, an expected answer cannot be read, or a metric
    fails. `examples`: fields of an example, and its expected answer; `side` is the set they are of.

    Every metric but the loss is tried on the first example, with the expected answer as the answer.
    """
    for metric in metrics:
        if metric.formats is not None and prompt.output.format not in metric.formats:
            raise DataError(
                f"eval.metrics: {metric.name} is for output format {' or '.join(metric.formats)}, but the prompt's is "
                f"{prompt.output.format!r} (prompt.output.format)"
            )
    parsed = [readable(fields, expected, parse, side) for fields, expected in examples]
    answered = [
        Answered(fields, expected, expected, one, one) for (fields, expected), one in zip(examples, parsed, strict=True)
    ]
    for metric in metrics:
        if metric.needs_loss or not answered:
            continue
        first = metric.score(answered[0])
        if isinstance(first, NotScored) and all(isinstance(metric.score(one), NotScored) for one in answered):
            raise DataError(f"eval.metrics: {metric.name} can score no {side} example: {first.reason}")


def readable(fields: Mapping[str, Any], expected: str, parse: Parser, side: str = "held-out") -> Parsed:
    """The expected answer, read. Raises DataError if it cannot be."""
    found = parse(expected)
    if found.why is not None:
        raise DataError(
            f"{side} example {fields['id']} (task {fields['task']}): its expected answer {expected[:80]!r} is not in "
            f"the prompt's output format ({CLASSES[found.why]}); correct the data or the format"
        )
    return found
