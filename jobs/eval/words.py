"""What a person should know about the figures of one model, as sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.answers.parse import CLASSES
from jobs.answers.predict import Prediction

FEW = 30
"""With fewer held-out examples a sentence says what they cannot show."""
CUT_OFF = 0.1
"""Share of answers that may be cut off before a sentence says so."""
TOP = 3
SHORT = 160


def in_words(name: str, one: Mapping[str, Any], confidence: float) -> str:
    """A metric with its interval: `accuracy 0.810 (162 of 200; 95 % interval 0.750 to 0.858)`."""
    if one["value"] is None:
        return f"{name}: no answer could be scored"
    count = f"{one['correct']} of {one['n']}" if "correct" in one else f"{one['n']} examples"
    if one["low"] is None:
        return f"{name} {one['value']:.3f} ({count})"
    return f"{name} {one['value']:.3f} ({count}; {100 * confidence:g} % interval {one['low']:.3f} to {one['high']:.3f})"


def failures(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Why answers could not be read: the most frequent classes, each with two answers."""
    classes = Counter(line["parse_class"] for line in predictions if line["parse_class"] is not None)
    return [
        {
            "class": name,
            "meaning": CLASSES[name],
            "count": count,
            "samples": [
                {key: shortened(str(line[key]), SHORT) for key in ("id", "expected", "prediction")}
                for line in [line for line in predictions if line["parse_class"] == name][:2]
            ],
        }
        for name, count in sorted(classes.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    ]


def notes(
    result: Mapping[str, Any], predictions: Sequence[Prediction], max_new_tokens: int, beyond_context: int
) -> list[str]:
    """Sentences about held-out sets that show little, answers that cannot be read or were cut off, and examples
    without a score. `beyond_context`: prompts that leave no room for the longest answer."""
    return [
        *_few(result, predictions),
        *_one_label(predictions),
        *_unread(predictions),
        *_cut_off(predictions, max_new_tokens),
        *_beyond(beyond_context, len(predictions)),
        *_unscored(predictions),
    ]


def _few(result: Mapping[str, Any], predictions: Sequence[Prediction]) -> list[str]:
    n, name = len(predictions), result["metric"]
    one = result["metrics"][name]
    if n >= FEW or one["low"] is None:
        return []
    return [
        f"{n} held-out example{'s' if n > 1 else ''} say little: the true {name} may lie anywhere from "
        f"{one['low']:.2f} to {one['high']:.2f}. Hold out more, at least {FEW}, better some hundred"
    ]


def _one_label(predictions: Sequence[Prediction]) -> list[str]:
    labels = {line["label"] for line in predictions}
    if len(labels) != 1 or labels == {None}:
        return []
    return [
        f"every held-out example expects the label {labels.pop()!r}: a model that always says so would be right "
        "everywhere. Hold out examples of every label"
    ]


def _unread(predictions: Sequence[Prediction]) -> list[str]:
    found, n = failures(predictions), len(predictions)
    unread = sum(line["parse"] == "failed" for line in predictions)
    if not unread:
        return []
    start = "not one answer could be read" if unread == n else f"{unread:,} of {n:,} answers could not be read"
    told = "; ".join(
        f"{one['count']:,} {one['class']} ({one['meaning']}), e.g. {one['samples'][0]['prediction']!r}" for one in found
    )
    return [f"{start}: {told}"]


def _cut_off(predictions: Sequence[Prediction], max_new_tokens: int) -> list[str]:
    """Where it is more than a few."""
    cut = sum(not line["ended"] for line in predictions)
    if cut <= CUT_OFF * len(predictions):
        return []
    return [f"{cut:,} of {len(predictions):,} answers were cut off at {max_new_tokens:,} tokens (eval.max_new_tokens)"]


def _beyond(prompts: int, n: int) -> list[str]:
    if not prompts:
        return []
    return [f"{prompts:,} of {n:,} prompts leave no room for the longest answer in the model's context"]


def _unscored(predictions: Sequence[Prediction]) -> list[str]:
    """Per metric, how many examples have no score, and the most frequent reason."""
    reasons: dict[str, Counter[str]] = {}
    for line in predictions:
        for name, reason in line["score_notes"].items():
            reasons.setdefault(name, Counter())[reason] += 1
    return [
        f"{name}: {found.total():,} of {len(predictions):,} examples have no score and are left out: "
        f"{found.most_common(1)[0][0]}"
        for name, found in reasons.items()
    ]


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
