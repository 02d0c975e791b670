"""The comparison of evaluations on the same examples: is the tuned model better than the base?

inputs    base, tuned, and optionally previous: artifacts of jobs.eval
          data, optional: the data stage's, for the training examples near bad cases
content   comparison.json, bad_cases.jsonl
report    sections compare, nearest
"""

from typing import Any

from jobs.eval.bad_cases import bad_cases
from jobs.eval.lines import read_lines, write_lines
from jobs.eval.nearest import add_nearest
from jobs.eval.pairs import Pair, check_same_examples, compare, one_model
from jobs.eval.score import Prediction
from jobs.eval.shown import for_report, nearest_for_report
from sftjobs.canonical import readable
from sftjobs.errors import DataError
from sftjobs.plan.configs import CompareConfig
from sftjobs.program import Program, main

ROLES = ("base", "previous", "tuned")


def run(program: Program) -> None:
    """Read, check, compare, write."""
    config = CompareConfig.model_validate(program.plan.config)
    models = {role: _read(program, role, config.metric) for role in ROLES if role in program.plan.inputs}
    for role, predictions in models.items():
        check_same_examples(role, predictions, models["base"])
    program.progress("compare", 0, len(models) - 1, unit="pairs")
    pairs = []
    for done, role in enumerate([role for role in models if role != "tuned"], start=1):
        pairs.append(compare(role, "tuned", Pair(models[role], models["tuned"], config.metric), config))
        program.progress("compare", done, len(models) - 1, unit="pairs")

    cases = bad_cases(models["tuned"], models["base"], config.metric)
    if "data" in program.plan.inputs:
        train = program.input("data") / "train.jsonl"
        add_nearest(cases, train, lambda done, total: program.progress("nearest", done, total, unit="examples"))
    comparison = {
        "metric": config.metric,
        "confidence": config.confidence,
        "bootstrap_draws": config.bootstrap_draws,
        "n": len(models["base"]),
        "models": {role: one_model(lines, config.metric, config.confidence) for role, lines in models.items()},
        "pairs": pairs,
        "bad_cases": len(cases),
    }
    (program.content / "comparison.json").write_bytes(readable(comparison))
    write_lines(program.content / "bad_cases.jsonl", cases)
    program.write_counts(counts(comparison))
    shown = for_report(cases, models["tuned"])
    program.write_report("compare", {**comparison, "cases": shown})
    program.write_report("nearest", nearest_for_report(cases, shown))
    for pair in pairs:
        print(pair["text"])


def _read(program: Program, role: str, metric: str) -> list[Prediction]:
    """Predictions of one model. Raises DataError if they are not there or lack the metric."""
    path = program.input(role) / "predictions.jsonl"
    if not path.is_file():
        raise DataError(f"input {role!r}: {path.name} is missing: is this the artifact of an evaluation?")
    predictions: list[Prediction] = read_lines(path)
    if not predictions:
        raise DataError(f"input {role!r}: {path.name} is empty")
    known = sorted(predictions[0]["scores"])
    if metric not in known:
        raise DataError(
            f"input {role!r} was not scored by {metric!r} but by {', '.join(known)}: evaluate it with the same metrics"
        )
    return predictions


def counts(comparison: dict[str, Any]) -> dict[str, Any]:
    """What the final table shows: flat, `previous_*` for the pair of previous and tuned."""
    found = {
        "metric": comparison["metric"],
        "confidence": comparison["confidence"],
        "n": comparison["n"],
        "bad_cases": comparison["bad_cases"],
        "tuned": comparison["models"]["tuned"]["value"],
    }
    for pair in comparison["pairs"]:
        prefix = "" if pair["before"] == "base" else f"{pair['before']}_"
        found[pair["before"]] = pair["value_before"]
        for name in ("difference", "low", "high", "p", "verdict", "text"):
            found[prefix + name] = pair[name]
    return found


if __name__ == "__main__":
    main(run)
