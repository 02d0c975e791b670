"""The plan of a run whose method leaves an adapter and no model."""

from pathlib import Path
from typing import Any

import pytest

from sftjobs import runs
from sftjobs.errors import DataError
from sftjobs.plan.committed import done_in
from sftjobs.plan.facts import previous_run
from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from sftjobs.plan.types import RunPlan, StagePlan
from sftjobs.pull import pull
from sftjobs.spec.train import PROMPT_LEARNING
from sftjobs.store.base import Store
from sftjobs.store.open import open_store
from tests.support.committing import commit_stage
from tests.support.specs import artifact, data_counts, external, make_facts, make_spec

OWNER = runs.Owner(user="u", host="h", backend="process", run="demo", created=1.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store("store", tmp_path)


def plan_of(method: str = "prefix_tuning", facts: Any = None, **train: Any) -> RunPlan:
    return make(make_spec(train={"method": method, **train}), facts or make_facts())


def trained(method: str, **more: Any) -> StagePlan:
    counts = data_counts(400, **more)
    return finish(plan_of(method), "train", {"data": artifact("data", "data", counts)})


@pytest.mark.parametrize("method", PROMPT_LEARNING)
def test_the_adapter_is_evaluated_with_the_base_model(method: str) -> None:
    plan = plan_of(method, seeds=2)
    for name, train in (("eval-tuned", "train"), ("eval-tuned-2", "train-2")):
        inputs = plan.stage(name).inputs
        assert (inputs["model"].external, inputs["adapter"].stage, inputs["adapter"].folder) == (
            "model",
            train,
            "adapter",
        )
    assert "adapter" not in plan.stage("eval-base").inputs


def test_an_imported_model_is_the_base_model() -> None:
    facts = make_facts()
    facts = facts.model_copy(update={"externals": {**facts.externals, "model": external("m.gguf")}})
    assert plan_of(facts=facts).stage("eval-tuned").inputs["model"].stage == "import"


@pytest.mark.parametrize(("method", "encoder"), [("prompt_tuning", None), ("p_tuning", "mlp"), ("prefix_tuning", None)])
def test_the_encoder_is_decided(method: str, encoder: str | None) -> None:
    config = trained(method).config
    assert config["prompt_learning"] == {"virtual_tokens": 20, "encoder": encoder, "encoder_size": None}
    assert config["lora"] is None


def test_a_network_learns_at_a_rate_of_its_own() -> None:
    data = {"data": artifact("data", "data", data_counts(400))}
    plain = finish(plan_of("prefix_tuning"), "train", data)
    network = finish(plan_of("prefix_tuning", prompt_learning={"encoder": "mlp"}), "train", data)
    assert (plain.config["learning_rate"], network.config["learning_rate"]) == (1e-2, 1e-3)
    assert network.reasons["learning_rate"].startswith("0.001 is where prefix_tuning with an encoder usually works")


def test_rows_that_share_nothing_are_counted_whole() -> None:
    """400 tokens with a prompt of 390: 16 rests of 10 fit, but only 9 rows of 420."""
    sizes = {"max_example_tokens": 400, "common_prefix_tokens": 390}
    assert trained("prefix_tuning", **sizes).config["micro_batch_size"] == 8
    assert (
        finish(plan_of("lora"), "train", {"data": artifact("data", "data", data_counts(400, **sizes))}).config[
            "micro_batch_size"
        ]
        == 16
    )


def committed_run(store: Store, tmp_path: Path, plan: RunPlan) -> str:
    """A run whose train stage left an adapter."""
    data = commit_stage(store, finish(plan, "data", {}), tmp_path, {"ledger.parquet": b"x"}, data_counts())
    files = {"adapter/adapter_config.json": b"{}", "adapter/adapter_model.safetensors": b"x"}
    commit_stage(store, finish(plan, "train", {"data": data}), tmp_path, files)
    return runs.create_run(store, plan, b"name: demo\n", OWNER)


def test_pull_says_what_there_is_instead_of_a_model(store: Store, tmp_path: Path) -> None:
    found = done_in(store, committed_run(store, tmp_path, plan_of()))
    with pytest.raises(DataError, match=r"cannot be merged into a model. `sftjobs pull RUN adapter FOLDER` gets them"):
        pull(found, store, "model", tmp_path / "model")
    assert len(pull(found, store, "adapter", tmp_path / "adapter")) == 2


def test_compare_to_uses_the_adapter_with_the_same_base_model(store: Store, tmp_path: Path) -> None:
    run_id = committed_run(store, tmp_path, plan_of())
    previous = previous_run(run_id, store, make_facts())
    assert previous is not None
    plan = make(make_spec(), make_facts(previous=previous.model_dump()))
    inputs = plan.stage("eval-previous").inputs
    assert (inputs["model"].external, inputs["adapter"].artifact, inputs["adapter"].folder) == (
        "model",
        previous.model,
        "adapter",
    )
    assert inputs["trained_on"].artifact == previous.data


def test_compare_to_an_adapter_of_another_base_model_is_refused(store: Store, tmp_path: Path) -> None:
    run_id = committed_run(store, tmp_path, plan_of())
    facts = make_facts()
    other = facts.model_copy(update={"externals": {**facts.externals, "model": external("model", "e" * 64)}})
    with pytest.raises(DataError, match="left an adapter and no model, and its base model is another one"):
        previous_run(run_id, store, other)
