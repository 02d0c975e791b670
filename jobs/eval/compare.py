"""The comparison of evaluations on the same examples: is the tuned model better than the base?

inputs    base, tuned, tuned-2, ..., previous, plan.<name>: artifacts of jobs.eval; only base and tuned have to be
          there
          baselines, optional: a folder for each, as jobs.eval.baselines writes them
          data, optional: the data stage's, for the training examples near bad cases
content   comparison.json, bad_cases.jsonl
report    sections compare, nearest
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jobs.answers.metrics import Metric
from jobs.answers.metrics.classes import expected_class
from jobs.answers.predict import Prediction
from jobs.eval.bad_cases import bad_cases
from jobs.eval.lines import read_lines, write_lines
from jobs.eval.measure import metric_named
from jobs.eval.nearest import add_nearest
from jobs.eval.pairs import Pair, check_same_examples, compare, one_model, regressions
from jobs.eval.sentences import BASELINES, conclusion, over_all_seeds
from jobs.eval.shown import for_report, nearest_for_report
from jobs.eval.task_plans import compare_plans
from sftjobs.canonical import readable
from sftjobs.errors import DataError
from sftjobs.plan.configs import PLAN_ROLE, CompareConfig
from sftjobs.program import Program, main

Models = dict[str, list[Prediction]]


def run(program: Program) -> None:
    """Read, check, compare, write."""
    config = CompareConfig.model_validate(program.plan.config)
    models = read_models(program, config.metric)
    plans = read_plans(program, config.metric)
    for role, predictions in {**models, **plans}.items():
        check_same_examples(role, predictions, models["base"])
    comparison = compare_all(models, config, program, plans)

    seeds = [models[role] for role in models if role.startswith("tuned-")]
    lower_is_better = comparison["lower_is_better"]
    cases = bad_cases(models["tuned"], models["base"], config.metric, lower_is_better=lower_is_better, seeds=seeds)
    if "data" in program.plan.inputs:
        train = program.input("data") / "train.jsonl"
        add_nearest(cases, train, lambda done, total: program.progress("nearest", done, total, unit="examples"))
    comparison["bad_cases"] = len(cases)
    (program.content / "comparison.json").write_bytes(readable(comparison))
    write_lines(program.content / "bad_cases.jsonl", cases)
    program.write_counts(counts(comparison))
    shown = for_report(cases, models["tuned"])
    program.write_report("compare", {**comparison, "cases": shown})
    program.write_report("nearest", nearest_for_report(cases, shown))
    for pair in comparison["pairs"]:
        print(pair["text"])
    for plan in to_tuned(comparison).values():
        print(plan["text"])
    print(comparison["conclusion"])


def read_models(program: Program, metric: str) -> Models:
    """Predictions by name of the model: base, baselines, previous, tuned and its further seeds, in this order."""
    inputs = program.plan.inputs
    seeds = sorted((role for role in inputs if re.fullmatch(r"tuned-\d+", role)), key=lambda role: int(role[6:]))
    folders = {"base": program.input("base")}
    if "baselines" in inputs:
        inside = program.input("baselines")
        folders |= {name: inside / name for name in BASELINES if (inside / name).is_dir()}
    folders |= {role: program.input(role) for role in ("previous", "tuned", *seeds) if role in inputs}
    return {role: _read(role, folder, metric) for role, folder in folders.items()}


def read_plans(program: Program, metric: str) -> Models:
    """Predictions of the models of further ways to train, by name of the input."""
    roles = [role for role in program.plan.inputs if role.startswith(PLAN_ROLE)]
    return {role: _read(role, program.input(role), metric) for role in roles}


def _read(role: str, folder: Path, metric: str) -> list[Prediction]:
    """Predictions of one model. Raises DataError if they are not there or lack the metric."""
    path = folder / "predictions.jsonl"
    if not path.is_file():
        raise DataError(f"input {role!r}: {path.name} is missing: is this the artifact of an evaluation?")
    predictions: list[Prediction] = read_lines(path)
    if not predictions:
        raise DataError(f"input {role!r}: {path.name} is empty")
    for line in predictions:
        if metric not in line["scores"]:
            raise DataError(
                f"input {role!r} was not scored by {metric!r} but by {', '.join(sorted(line['scores']))}: "
                "evaluate it with the same metrics"
            )
    return predictions


def compare_all(
    models: Models, config: CompareConfig, program: Program | None = None, plans: Models | None = None
) -> dict[str, Any]:
    """The section `compare`, without bad cases. Raises DataError if base and tuned have no scored example in common."""
    plans = plans or {}
    metric = metric_named(config.metric, [*models.values(), *plans.values()])
    seeds = [models[role] for role in models if role.startswith("tuned-")]
    others = [role for role in models if not role.startswith("tuned")]
    pairs, not_compared = [], {}
    for done, role in enumerate(others):
        if program is not None:
            program.progress("compare", done, len(others), unit="pairs")
        pair = Pair(models[role], models["tuned"], config.metric, seeds)
        if not pair.scored:
            not_compared[role] = _unscored(role, models, config.metric)
            continue
        found = compare(role, "tuned", pair, config)
        pairs.append({**found, **regressions(pair)} if role == "previous" else found)
    if program is not None:
        program.progress("compare", len(others), len(others), unit="pairs")
    baselines = [pair for pair in pairs if pair["before"] in BASELINES]
    comparison = {
        "metric": config.metric,
        "kind": metric.kind,
        "lower_is_better": metric.lower_is_better,
        "bounded": metric.bounded,
        "confidence": config.confidence,
        "bootstrap_draws": config.bootstrap_draws,
        "n": len(models["base"]),
        "models": {
            role: one_model(lines, metric, config.confidence)
            for role, lines in models.items()
            if role not in not_compared
        },
        "seeds": over_seeds(models, metric) if seeds else None,
        "pairs": pairs,
        "not_compared": not_compared,
        "beats_every_baseline": all(pair["verdict"] == "better" for pair in baselines) if baselines else None,
        "notes": notes(models["tuned"]),
    }
    if config.plans:
        comparison["plans"] = compare_plans(models, plans, metric, config)
    return {**comparison, "conclusion": conclusion(comparison)}


def _unscored(role: str, models: Models, metric: str) -> str:
    """Why there is nothing to compare. Raises DataError if that is so of the base."""
    reasons = [
        reason
        for name in (role, "tuned")
        for line in models[name]
        if (reason := line.get("score_notes", {}).get(metric)) is not None
    ]
    text = f"no example has a score by {metric!r} in both {role!r} and 'tuned'"
    text += f" ({reasons[0]})" if reasons else ""
    if role == "base":
        raise DataError(f"{text}: put another metric first in eval.metrics")
    return text


def over_seeds(models: Mapping[str, Sequence[Prediction]], metric: Metric) -> dict[str, Any]:
    """Values of the models of all seeds, their mean and standard deviation (`spread`)."""
    values = {role: metric.value(lines) for role, lines in models.items() if role.startswith("tuned")}
    known = [value for value in values.values() if value is not None]
    found = {
        "values": values,
        "mean": float(np.mean(known)),
        "spread": float(np.std(known, ddof=1)) if len(known) > 1 else 0.0,
        "low": min(known),
        "high": max(known),
    }
    return {**found, "text": over_all_seeds(found, metric.bounded)}


def notes(tuned: Sequence[Prediction]) -> list[str]:
    """Sentences on what makes a comparison say little."""
    found = []
    labels = {expected_class(line) for line in tuned if line.get("label") is not None}
    if len(labels) == 1 and len(tuned) > 1:
        found.append(f"Every held-out example expects {labels.pop()!r}: always saying so would be right everywhere")
    if all(line["parse"] == "failed" for line in tuned):
        found.append("Not one answer of the tuned model could be read: see why in its evaluation")
    return found


def to_tuned(comparison: dict[str, Any]) -> dict[str, Any]:
    """Plan -> its difference to the one that made the tuned model; empty if there is one plan."""
    found: dict[str, Any] = comparison["plans"]["to_tuned"] if "plans" in comparison else {}
    return found


def counts(comparison: dict[str, Any]) -> dict[str, Any]:
    """What the final table shows: flat; `previous_*`, `classic_*` and so on for the pairs other than base and tuned."""
    names = ("metric", "kind", "lower_is_better", "confidence", "n", "bad_cases", "conclusion", "beats_every_baseline")
    found = {name: comparison[name] for name in names}
    found["tuned"] = comparison["pairs"][0]["value_after"]
    if comparison["seeds"] is not None:
        found |= {"seeds": len(comparison["seeds"]["values"]), "seed_spread": comparison["seeds"]["spread"]}
    for pair in comparison["pairs"]:
        prefix = "" if pair["before"] == "base" else f"{pair['before']}_"
        found[pair["before"]] = pair["value_before"]
        for name in ("difference", "low", "high", "p", "verdict", "text"):
            found[prefix + name] = pair[name]
    for name, plan in to_tuned(comparison).items():
        found |= {f"plan_{name}": plan["value_after"], f"plan_{name}_verdict": plan["verdict"]}
    return found


if __name__ == "__main__":
    main(run)
