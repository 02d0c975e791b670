"""Ways to train on several tasks, side by side: plan by task, and what training on one task does for another."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.answers.metrics import Metric
from jobs.answers.predict import Prediction
from jobs.eval.pairs import Pair, compare, one_model
from sftjobs.errors import DataError
from sftjobs.plan.configs import PLAN_ROLE, SEPARATE_ROLE, CompareConfig

Lines = Sequence[Prediction]
Models = Mapping[str, Lines]
_OF_A_DIFFERENCE = ("n", "value_before", "value_after", "difference", "low", "high", "p")


def compare_plans(models: Models, others: Models, metric: Metric, config: CompareConfig) -> dict[str, Any]:
    """The part `plans` of the comparison, of at least two plans.

    `models` has base and tuned, which is the model of the first plan. `others` holds the models of the others by the
    name of their input. Every model has answered every example.
    """
    base, tuned = models["base"], models["tuned"]
    found = {config.plans[0]: tuned, **{name: _answers(name, others, base) for name in config.plans[1:]}}
    return {
        "tuned": config.plans[0],
        "tasks": {task: len(lines) for task, lines in by_task(base).items()},
        "models": {
            name: {**_value(lines, metric, config), "tasks": _values(lines, metric, config)}
            for name, lines in {"base": base, **found}.items()
        },
        "to_base": {name: _difference("base", base, name, lines, config) for name, lines in found.items()},
        "to_tuned": {
            name: _difference(config.plans[0], tuned, name, lines, config)
            for name, lines in found.items()
            if name != config.plans[0]
        },
        "transfer": transfer(base, others, config),
    }


def transfer(base: Lines, others: Models, config: CompareConfig) -> dict[str, dict[str, Any]] | None:
    """Trained on -> asked about -> what that changes against the base model; None without a model for each task."""
    trained = {
        role.removeprefix(SEPARATE_ROLE): lines for role, lines in others.items() if role.startswith(SEPARATE_ROLE)
    }
    found = {task: _difference("base", base, task, trained[task], config)["tasks"] for task in sorted(trained)}
    return found or None


def by_task(lines: Lines) -> dict[str, list[Prediction]]:
    """Task -> its examples, by name of the task."""
    found: dict[str, list[Prediction]] = {}
    for line in lines:
        found.setdefault(str(line["task"]), []).append(line)
    return dict(sorted(found.items()))


def _answers(plan: str, others: Models, base: Lines) -> Lines:
    """Answers of a plan: of one with a model for each task, each example's are those of the model of its task."""
    if plan != "separate":
        return others[f"{PLAN_ROLE}{plan}"]
    tasks = sorted({str(line["task"]) for line in base})
    missing = [task for task in tasks if f"{SEPARATE_ROLE}{task}" not in others]
    if missing:
        raise DataError(
            f"plan separate has no model for held-out examples of {', '.join(missing)}: it has one for each task that "
            "is trained on"
        )
    return [others[f"{SEPARATE_ROLE}{line['task']}"][place] for place, line in enumerate(base)]


def _values(lines: Lines, metric: Metric, config: CompareConfig) -> dict[str, dict[str, Any]]:
    return {task: _value(of_task, metric, config) for task, of_task in by_task(lines).items()}


def _value(lines: Lines, metric: Metric, config: CompareConfig) -> dict[str, Any]:
    found = one_model(lines, metric, config.confidence)
    return {name: found[name] for name in ("value", "low", "high", "n")}


def _difference(name_before: str, before: Lines, name: str, after: Lines, config: CompareConfig) -> dict[str, Any]:
    """All examples and each task, paired. `p` of tasks is adjusted for how many there are."""
    pair = Pair(before, after, config.metric)
    if not pair.scored:
        raise DataError(
            f"no example has a score by {config.metric!r} in both {name_before!r} and {name!r}: put another metric "
            "first in eval.metrics"
        )
    found = compare(name_before, name, pair, config)
    tasks = {one["name"]: {key: one[key] for key in _OF_A_DIFFERENCE} for one in found["slices"]["task"]}
    return {**{key: found[key] for key in (*_OF_A_DIFFERENCE, "verdict", "text")}, "tasks": tasks}
