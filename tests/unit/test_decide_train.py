"""Decisions about training and comparison at their edges: one step, limits, nothing to train on."""

from typing import Any

import pytest

from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from sftjobs.plan.types import StagePlan
from tests.support.specs import artifact, data_counts, make_facts, make_spec


def train(examples: int, **wanted: Any) -> StagePlan:
    plan = make(make_spec(train=wanted), make_facts())
    return finish(plan, "train", {"data": artifact("data", "data", data_counts(examples))})


@pytest.mark.parametrize(("wanted", "steps", "warmup"), [(1, 1, 0), (2, 2, 1), (30, 30, 2)])
def test_the_warm_up_is_never_the_whole_training(wanted: int, steps: int, warmup: int) -> None:
    config = train(4000, max_steps=wanted).config
    assert (config["steps"], config["warmup_steps"]) == (steps, warmup)


@pytest.mark.parametrize("metrics", [["exact_match", "accuracy"], ["accuracy", "exact_match"]])
def test_the_first_metric_decides_the_verdict(metrics: list[str]) -> None:
    plan = make(make_spec(eval={"metrics": metrics}), make_facts())
    counts = {"metrics": {"accuracy": 0.5, "exact_match": 0.4}}
    inputs = {name: artifact("eval", name, counts) for name in ("eval-base", "eval-tuned")}
    assert finish(plan, "compare", inputs).config["metric"] == metrics[0]
