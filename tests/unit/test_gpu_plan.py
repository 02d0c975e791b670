"""What a plan decides because of GPUs, and what `check` refuses."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sftjobs.advice.sizes import PUBLISHED
from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from sftjobs.plan.types import StagePlan
from tests.support.run_folder import RunFolder
from tests.support.specs import artifact, data_counts, make_facts, make_spec

FULL = {"method": "full", "precision": "bfloat16"}


def train(resources: dict[str, Any], wanted: dict[str, Any], size: str | None = "1.5B") -> StagePlan:
    """The finished train stage of a model of this size, None for one whose sizes nobody knows."""
    plan = make(make_spec(train=wanted, resources={"train": resources}), make_facts())
    counts = data_counts(model=asdict(PUBLISHED[size]) if size else None)
    return finish(plan, "train", {"data": artifact("data", "data", counts)})


def gpu(gib: float | None, number: int = 1) -> dict[str, Any]:
    return {"gpus_per_node": number} | ({} if gib is None else {"gpu_memory_gib": gib})


@pytest.mark.parametrize(
    ("resources", "wanted", "on", "said"),
    [
        ({}, FULL, False, None),
        (gpu(80), FULL, False, "GiB of 72.0 are needed without"),
        (gpu(30), FULL, True, "GiB of 27.0 are needed without, "),
        (gpu(None), FULL, False, "off: resources.train.gpu_memory_gib is not set"),
        (gpu(1), {"method": "prefix_tuning"}, False, None),
        (gpu(1), {**FULL, "activation_checkpointing": False}, False, None),
        ({}, {**FULL, "activation_checkpointing": True}, True, None),
    ],
)
def test_activation_checkpointing_is_on_where_it_is_needed(
    resources: dict[str, Any], wanted: dict[str, Any], on: bool, said: str | None
) -> None:
    found = train(resources, wanted)
    assert found.config.get("activation_checkpointing", False) is on
    reason = found.reasons.get("activation_checkpointing")
    assert reason is None if said is None else reason is not None and said in reason


def test_zero_is_part_of_the_estimate() -> None:
    """What eight GPUs share needs no second computation."""
    alone, shared = train(gpu(24), FULL), train(gpu(24, 8), {**FULL, "zero": {"stage": 3}})
    assert alone.config["activation_checkpointing"] is True
    assert "activation_checkpointing" not in shared.config


@pytest.mark.parametrize(
    ("resources", "wanted", "packing"),
    [
        ({}, {}, False),
        (gpu(None), {}, False),
        (gpu(None), {"attention": "flex"}, False),
        (gpu(None), {"attention": "flash_attention_2", "precision": "bfloat16"}, "if_possible"),
        (gpu(None), {"attention": "flash_attention_2", "precision": "bfloat16", "method": "p_tuning"}, False),
        (gpu(None), {"attention": "flash_attention_2", "precision": "bfloat16", "packing": False}, False),
        ({}, {"packing": True}, True),
    ],
)
def test_packing_is_for_attention_without_a_mask(
    resources: dict[str, Any], wanted: dict[str, Any], packing: bool | str
) -> None:
    found = train(resources, wanted)
    assert found.config["packing"] == packing
    assert found.config.get("attention") == wanted.get("attention")
    assert ("packing" in found.reasons) is (packing == "if_possible")


def test_qlora_pages_its_optimizer_on_a_gpu() -> None:
    assert train(gpu(None), {"method": "qlora"}).config["optimizer"] == "paged_adamw"
    assert "optimizer" not in train({}, {"method": "qlora"}).config
    assert "optimizer" not in train(gpu(None), {"method": "lora"}).config


@pytest.mark.parametrize("stage", ["eval-base", "eval-tuned", "baselines"])
def test_an_evaluation_is_one_process_over_its_gpus(stage: str) -> None:
    found = {}
    inputs = {name: artifact("data", name, data_counts()) for name in ("data", "train")}
    for gpus in (0, 1, 4):
        plan = make(make_spec(resources={"eval": {"gpus_per_node": gpus}}), make_facts())
        found[gpus] = finish(plan, stage, inputs)
        assert found[gpus].resources.processes_per_node == 1
        assert found[gpus].config.get("spread_over") == (4 if gpus == 4 else None)
    assert len({one.key for one in found.values()}) == 3


def test_a_server_is_told_by_its_command_how_to_use_gpus() -> None:
    server = {"command": ["vllm", "serve", "{model}", "--port", "{port}", "--tensor-parallel-size", "4"]}
    plan = make(make_spec(resources={"eval": {"gpus_per_node": 4}}, eval={"engine": server}), make_facts())
    found = finish(plan, "eval-base", {"data": artifact("data", "data", data_counts())})
    assert "spread_over" not in found.config


def test_a_model_whose_sizes_are_not_known_is_not_guessed() -> None:
    found = train(gpu(1), FULL, size=None)
    assert found.reasons["activation_checkpointing"] == "off: the model's sizes are not known"


def test_what_came_later_is_in_the_key_only_if_it_is_used() -> None:
    """What was trained before there was such a field is found again."""
    plain, used = train({}, FULL), train({}, {**FULL, "activation_checkpointing": True})
    assert "activation_checkpointing" not in plain.key_json["config"]
    assert plain.key == train({}, {**FULL, "activation_checkpointing": False}).key
    assert plain.key != used.key
    assert plain.key == train({"gpu_memory_gib": 80}, FULL).key


REFUSED = {
    "train: {method: prefix_tuning, activation_checkpointing: true}": (
        "run.yaml:8: train.activation_checkpointing: true does not go with method prefix_tuning: a layer that is "
        "computed again is not given the keys and values of the virtual tokens; remove the key, or set method: p_tuning"
    ),
    "train: {attention: flex}": (
        "run.yaml:8: train.attention: flex has no backward pass on a CPU: set resources.train.gpus_per_node, "
        "or use sdpa"
    ),
    "train: {attention: flash_attention_2}\nresources: {train: {gpus_per_node: 1}}": (
        "run.yaml:8: train.attention: flash_attention_2 computes 16-bit numbers only: set train.precision: bfloat16, "
        "or use sdpa"
    ),
    "train: {attention: flex, method: p_tuning}\nresources: {train: {gpus_per_node: 1}}": (
        "run.yaml:8: train.attention: flex has no effect with method p_tuning, whose examples share no row; use sdpa"
    ),
    "train: {attention: flex, packing: true}\nresources: {train: {gpus_per_node: 1}}": (
        "run.yaml:8: train.attention: flex takes a mask, and packing: true has none; flex packs without it: "
        "remove packing"
    ),
    "train: {compile: true}": (
        "run.yaml:8: train.compile: true is for GPUs: set resources.train.gpus_per_node, or remove the key"
    ),
    "train: {liger: true}": (
        "run.yaml:8: train.liger: true is for GPUs: set resources.train.gpus_per_node, or remove the key"
    ),
    "train: {compile: true, zero: {stage: 3}}\nresources: {train: {gpus_per_node: 2}}": (
        "run.yaml:8: train.compile: true does not go with train.zero.stage 3, which gathers the weights of a layer in "
        "the middle of what would be compiled; remove the key, or use stage 2"
    ),
    "train: {compile: true, method: qlora}\nresources: {train: {gpus_per_node: 1}}": (
        "run.yaml:8: train.compile: true does not go with method qlora: kernels for weights of 4 bits would cut every "
        "layer into pieces; remove the key, or use lora"
    ),
    "resources: {train: {gpu_memory_gib: 80}}": (
        "run.yaml:8: resources.train.gpu_memory_gib: has no effect without gpus_per_node; remove it"
    ),
    "resources: {eval: {gpus_per_node: 1, gpu_memory_gib: 80}}": (
        "run.yaml:8: resources.eval.gpu_memory_gib: has no effect for stages of kind eval, of training only; remove it"
    ),
}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


@pytest.mark.parametrize("text", REFUSED)
def test_what_does_not_go_together(run: RunFolder, text: str) -> None:
    assert run.with_more(f"{text}\n") == [REFUSED[text]]
