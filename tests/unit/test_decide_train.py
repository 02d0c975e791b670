"""Decisions about training and comparison at their edges: one step, limits, nothing to train on."""

from pathlib import Path
from typing import Any

import pytest

from sftjobs.plan.estimate import numbers
from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from sftjobs.plan.types import StagePlan
from tests.support.specs import artifact, data_counts, external, make_facts, make_spec


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
    inputs = {name: artifact("eval", name) for name in ("data", "eval-base", "baselines", "eval-tuned")}
    assert finish(plan, "compare", inputs).config["metric"] == metrics[0]


def test_the_printed_arithmetic_says_that_max_steps_ends_early() -> None:
    summary = train(400, max_steps=5, global_batch_size=16).summary
    assert "| 5 steps | max_steps ends 2 epochs of 50 steps early | ~320 supervised tokens" in summary


def test_general_data_counts_and_its_lack_is_said() -> None:
    data = {
        "tasks": {"t": {"path": "train.jsonl"}},
        "general": {"path": "general.jsonl", "ratio": 1.0},
        "held_out": {"path": "held.jsonl"},
    }
    facts = make_facts()
    facts = facts.model_copy(update={"externals": {**facts.externals, "general": external("general.jsonl")}})
    plan = make(make_spec(data=data, train={"epochs": 1, "global_batch_size": 10}), facts)
    counts = data_counts(100)
    counts["tasks"]["general"] = {"examples": 30, "tokens": 900, "supervised_tokens": 600}
    stage = finish(plan, "train", {"data": artifact("data", "data", counts)})
    assert "| 13 steps | 1 epoch | 1,000 supervised tokens" in stage.summary
    assert stage.reasons["general.ratio"].startswith("30 general examples in the first epoch instead of 1 x 100")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"train": {"epochs": 1.5}}, "| 15 steps | 2 epochs | ~600 supervised tokens"),
        ({"mix": {"mode": "weighted", "examples_per_epoch": 40}}, "| 8 steps | 2 epochs | ~320 supervised tokens"),
        ({"mix": {"mode": "capped", "cap": 5, "examples_per_epoch": 200}}, "| 40 steps | 2 epochs | 1,600 supervised"),
    ],
)
def test_steps_are_those_of_the_mixture(wanted: dict[str, Any], said: str) -> None:
    data = {"tasks": {"t": {"path": "train.jsonl"}}, "held_out": {"path": "held.jsonl"}, "mix": wanted.get("mix", {})}
    spec = make_spec(data=data, train={"global_batch_size": 10, **wanted.get("train", {})})
    summary = finish(make(spec, make_facts()), "train", {"data": artifact("data", "data", data_counts(100))}).summary
    assert said in summary


def test_the_estimate_knows_of_select(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("{}\n" * 400)
    data = {
        "tasks": {"t": {"path": str(path)}},
        "held_out": {"path": "held.jsonl"},
        "select": {"keep": 100},
    }
    spec = make_spec(data=data, train={"epochs": 1, "global_batch_size": 10})
    facts = make_facts()
    source = external("train.jsonl").model_copy(update={"source": str(path)})
    plan = make(spec, facts.model_copy(update={"externals": {**facts.externals, "task.t": source}}))
    assert "| 10 steps |" in numbers(spec, plan, None)["train"].summary


@pytest.mark.parametrize(
    ("longest", "prefix", "micro"), [(320, 260, 16), (2_000, 0, 2), (900, 800, 16), (900, 0, 4), (9_000, 0, 1)]
)
def test_long_examples_make_small_micro_batches(longest: int, prefix: int, micro: int) -> None:
    counts = data_counts(4_000, max_example_tokens=longest, common_prefix_tokens=prefix)
    config = finish(make(make_spec(), make_facts()), "train", {"data": artifact("data", "data", counts)}).config
    assert config["micro_batch_size"] == micro
    assert config["micro_batch_size"] * config["gradient_accumulation_steps"] == 32


@pytest.mark.parametrize(("prefix", "grouped"), [(260, False), (100, True)])
def test_examples_are_grouped_by_length_where_they_differ(prefix: int, grouped: bool) -> None:
    counts = data_counts(400, common_prefix_tokens=prefix)  # 300 tokens in the mean
    stage = finish(make(make_spec(), make_facts()), "train", {"data": artifact("data", "data", counts)})
    assert stage.config["group_by_length"] is grouped
    assert f"{prefix} of 300 tokens" in stage.reasons["group_by_length"]


def test_lora_plus_has_a_ratio_and_the_others_have_none() -> None:
    ratios = {
        method: train(400, method=method).config["lora"]["learning_rate_ratio"]
        for method in ("lora", "rslora", "dora", "lora_plus")
    }
    assert ratios == {"lora": None, "rslora": None, "dora": None, "lora_plus": 16.0}
    assert train(400, method="lora_plus", lora={"learning_rate_ratio": 4}).config["lora"]["learning_rate_ratio"] == 4
    assert train(400, method="full").config["lora"] is None


def test_periodic_lora_has_cycles_no_more_than_steps() -> None:
    assert train(400, method="lora", lora={}).config["lora"]["cycles"] is None
    assert train(400, method="periodic_lora").config["lora"]["cycles"] == 4
    assert train(400, method="periodic_lora", lora={"cycles": 9}, max_steps=3).config["lora"]["cycles"] == 3
