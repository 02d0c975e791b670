"""What one evaluation says to the manifest and to the report."""

from collections.abc import Sequence
from typing import Any

from jobs.answers.predict import Prediction
from jobs.eval.score import confusion
from jobs.eval.words import failures, shortened
from jobs.lm.generate import Generation

SAMPLES = 20
SAMPLE = 2_000
"""Characters of a text among the samples."""
MAX_ROWS = 200
"""Of a table in the report section, which may have 2 MiB: with more labels it has no confusion table."""
TABLES = ("by_task", "by_label", "by_difficulty", "by_source")


def counts(result: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says: later stages are planned from `metrics`. `correct` is null unless right or wrong."""
    first = result["metrics"][result["metric"]]
    return {
        "metric": result["metric"],
        "kind": first["kind"],
        "lower_is_better": first["lower_is_better"],
        "metrics": {name: one["value"] for name, one in result["metrics"].items()},
        "examples": sum(result["format"].values()),
        "scored": first["n"],
        "correct": first.get("correct"),
        "parse_failed": result["format"]["failed"],
    }


def section(
    result: dict[str, Any], predictions: Sequence[Prediction], generation: Generation, notes: Sequence[str]
) -> dict[str, Any]:
    """The section of the report: scores.json, with long tables cut to their largest rows, and what else was seen."""
    step = max(1, len(predictions) // SAMPLES)
    keys = ("id", "task", "expected", "prediction", "parse", "parse_class", "ended", "scores", "correct")
    labels = result["by_label"]
    return {
        **{name: largest_rows(value) if name in TABLES else value for name, value in result.items()},
        "notes": list(notes),
        "parse_failures": failures(predictions),
        "confusion": confusion(predictions) if labels and len(labels) <= MAX_ROWS else None,
        "samples": [_sample(line, keys) for line in predictions[::step][:SAMPLES]],
        "cut_off": sum(not answer.ended for answer in generation.answers),
        "beyond_context": generation.beyond_context,
        "seconds": generation.seconds,
        "prompt_tokens": generation.prompt_tokens,
        "new_tokens": generation.new_tokens,
        "tokens_per_s": generation.new_tokens / generation.seconds if generation.seconds > 0 else None,
        "prefix_tokens": generation.prefix_tokens,
        "prefix_refused": generation.refused,
    }


def largest_rows(table: dict[str, Any]) -> dict[str, Any]:
    """The rows with the most examples; scores.json has them all."""

    def examples(name: str) -> int:
        row = table[name]
        return int(row["n"] if "n" in row else max(one["n"] for one in row.values()))

    chosen = set(sorted(table, key=lambda name: -examples(name))[:MAX_ROWS])
    return {name: table[name] for name in table if name in chosen}


def _sample(line: Prediction, keys: Sequence[str]) -> dict[str, Any]:
    return {key: shortened(line[key], SAMPLE) if isinstance(line[key], str) else line[key] for key in keys}
