"""`train.zero` in run.yaml: what is refused, and what planning makes of it."""

from pathlib import Path

import pytest

from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from tests.support.run_folder import RunFolder
from tests.support.specs import artifact, data_counts, make_facts, make_spec

GPUS = "resources: {train: {gpus_per_node: 2}}"
REFUSED = {
    "{offload: optimizer}": "offload: has no effect with stage 0; set stage: 1, 2 or 3, or remove it",
    "{overrides: {steps_per_print: 1}}": ("overrides: has no effect with stage 0; set stage: 1, 2 or 3, or remove it"),
    "{stage: 2, offload: parameters}": (
        "offload: parameters needs stage 3, this is stage 2, where every rank computes with all weights; "
        "set stage: 3, or use optimizer"
    ),
    "{stage: 2, overrides: {train_batch_size: 8}}": (
        "overrides.train_batch_size: is set by train.global_batch_size; remove it here"
    ),
    "{stage: 2, overrides: {gradient_clipping: 0}}": (
        "overrides.gradient_clipping: is set by train.max_grad_norm; remove it here"
    ),
    "{stage: 2, overrides: {optimizer: {type: Adam}}}": (
        "overrides.optimizer: is set by train.learning_rate and train.weight_decay; remove it here"
    ),
    "{stage: 2, overrides: {bf16: {enabled: true}}}": "overrides.bf16: is set by train.precision; remove it here",
    "{stage: 2, overrides: {zero_optimization: {stage: 3}}}": (
        "overrides.zero_optimization.stage: is set by train.zero.stage; remove it here"
    ),
    "{stage: 2, overrides: {zero_optimization: {offload_param: {device: cpu}}}}": (
        "overrides.zero_optimization.offload_param: is set by train.zero.offload; remove it here"
    ),
    "{stage: 2, overrides: {zero_optimisation: {}}}": (
        "overrides.zero_optimisation: no setting of DeepSpeed that can be changed here; "
        "did you mean 'zero_optimization'?"
    ),
    "{stage: 2, overrides: {zero_optimization: {reduce_bucket: 5}}}": (
        "overrides.zero_optimization.reduce_bucket: no setting of DeepSpeed that can be changed here; "
        "did you mean 'reduce_bucket_size'?"
    ),
    "{stage: 2, overrides: {zero_optimization: {reduce_bucket_size: 0.5}}}": (
        "overrides.zero_optimization.reduce_bucket_size: expected a whole number, 0 or more; 0.5 is a number"
    ),
    "{stage: 2, overrides: {zero_optimization: 3}}": (
        "overrides.zero_optimization: expected a mapping (key: value); 3 is a whole number"
    ),
    "{stage: 2, overrides: {communication_data_type: int8}}": (
        "overrides.communication_data_type: expected fp32 or bf16; 'int8' is text"
    ),
    "{stage: 2, overrides: {prescale_gradients: 1}}": (
        "overrides.prescale_gradients: expected true or false; 1 is a whole number"
    ),
    "{stage: 2, overrides: {zero_optimization: {stage3_prefetch_bucket_size: 5}}}": (
        "overrides.zero_optimization.stage3_prefetch_bucket_size: has no effect with stage 2; remove it, or set "
        "stage: 3"
    ),
    "{stage: 1, overrides: {zero_optimization: {sub_group_size: 5}}}": (
        "overrides.zero_optimization.sub_group_size: has no effect with stage 1; remove it, or set stage: 3"
    ),
    "{stage: 2, overrides: {gradient_predivide_factor: 0}}": (
        "overrides.gradient_predivide_factor: expected a number above 0; 0 is a whole number"
    ),
}
ACCEPTED = (
    "{stage: 0}",
    "{stage: 1}",
    "{stage: 2, offload: optimizer}",
    "{stage: 3, offload: parameters}",
    "{stage: 3, overrides: {zero_optimization: {stage3_prefetch_bucket_size: 2e8, overlap_comm: true}}}",
    "{stage: 2, overrides: {communication_data_type: fp32, flops_profiler: {enabled: true}}}",
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


@pytest.mark.parametrize("text", REFUSED)
def test_refused(run: RunFolder, text: str) -> None:
    assert run.with_more(f"train: {{zero: {text}}}\n{GPUS}\n") == [f"run.yaml:8: train.zero.{REFUSED[text]}"]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(run: RunFolder, text: str) -> None:
    assert run.with_more(f"train: {{zero: {text}}}\n{GPUS}\n") == []


_LITTLE = "what it trains is so small that stages 1 and 2 save nothing, and stage 3 does not know virtual tokens"
NEVER_SHARED = {
    "qlora": "DeepSpeed cannot partition weights of 4 bits",
    "periodic_lora": "it changes frozen weights at the end of a cycle, of which DeepSpeed holds copies and parts",
    "prompt_tuning": _LITTLE,
    "p_tuning": _LITTLE,
    "prefix_tuning": _LITTLE,
}


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("method", NEVER_SHARED)
def test_methods_that_are_never_shared(run: RunFolder, method: str, stage: int) -> None:
    assert run.with_more(f"train: {{method: {method}, zero: {{stage: {stage}}}}}\n{GPUS}\n") == [
        f"run.yaml:8: train.zero.stage: {stage} does not go with method {method}: {NEVER_SHARED[method]}; "
        "remove train.zero"
    ]


@pytest.mark.parametrize("method", ["full", "lora", "rslora", "dora", "lora_plus"])
def test_methods_that_are_shared(run: RunFolder, method: str) -> None:
    assert run.with_more(f"train: {{method: {method}, zero: {{stage: 3}}}}\n{GPUS}\n") == []


@pytest.mark.parametrize(
    ("resources", "more"),
    [("", "nodes, gpus_per_node or processes_per_node"), ("{train: {gpus_per_node: 1}}", "nodes or gpus_per_node")],
)
def test_one_rank_has_nobody_to_share_with(run: RunFolder, resources: str, more: str) -> None:
    written = f"resources: {resources}\n" if resources else ""
    assert run.with_more(f"train: {{zero: {{stage: 2}}}}\n{written}") == [
        "run.yaml:8: train.zero.stage: 2 has no effect with one rank: there is nobody to share with; remove "
        f"train.zero, set resources.train.{more}, or keep the optimizer in the memory of the CPU (offload: optimizer)"
    ]


def test_one_rank_can_leave_the_optimizer_to_the_cpu(run: RunFolder) -> None:
    assert run.with_more("train: {zero: {stage: 2, offload: optimizer}}\n") == []


@pytest.mark.parametrize(("wanted", "planned"), [({}, None), ({"stage": 0}, None), ({"stage": 3}, 3)])
def test_the_plan_has_it_only_if_it_is_on(wanted: dict[str, int], planned: int | None) -> None:
    plan = make(make_spec(train={"zero": wanted}, resources={"train": {"nodes": 2}}), make_facts())
    config = finish(plan, "train", {"data": artifact("data", "data", data_counts(400))}).config
    assert (config["zero"] or {}).get("stage") == planned
