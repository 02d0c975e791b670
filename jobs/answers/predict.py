"""One line of predictions.jsonl: an example with what a model said, how it was read, and its scores."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.answers.check import readable
from jobs.answers.metrics import Answered, Metric, NotScored, score
from jobs.answers.parse import Parser

Prediction = dict[str, Any]
"""One line of predictions.jsonl."""


def predict(
    fields: Mapping[str, Any],
    expected: str,
    text: str,
    parse: Parser,
    metrics: Sequence[Metric],
    *,
    ended: bool = True,
    loss: float | NotScored | None = None,
) -> Prediction:
    """The example `fields` (id, task, messages, ...) with the answer `text`. The first metric decides `correct`.

    `ended` is False for an answer that was cut off at the limit. Raises DataError if the expected answer itself
    cannot be read.
    """
    wanted, found = readable(fields, expected, parse), parse(text)
    found = found if ended else found.of_cut_text()
    scores, notes = score(metrics, Answered(fields, expected, text, wanted, found, loss))
    first = scores[metrics[0].name]
    return {
        **fields,
        "label": fields.get("label"),
        "expected": expected,
        "prediction": text,
        "ended": ended,
        "parsed": found.value,
        "parse": found.how,
        "parse_class": found.why,
        "scores": scores,
        "score_notes": notes,
        "correct": first if isinstance(first, bool) else None,
    }
