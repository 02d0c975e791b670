"""What training does because of GPUs: decided from the plan's resources and the sizes of the model. Pure."""

from dataclasses import replace
from typing import Any

from sftjobs.advice.gpus import USABLE
from sftjobs.advice.memory import total
from sftjobs.advice.need import Setup, training, with_batch
from sftjobs.advice.shape import ModelShape
from sftjobs.plan.configs import DataCounts, TrainConfig
from sftjobs.plan.memory_setup import memory_setup
from sftjobs.plan.types import Resources
from sftjobs.spec.train import PROMPT_LEARNING

GIB = 2**30
Reasons = dict[str, str]


def for_gpu(
    decided: TrainConfig, wanted: dict[str, Any], resources: Resources, counts: DataCounts, reasons: Reasons
) -> TrainConfig:
    """`decided` with the fields that depend on GPUs; `wanted` is what run.yaml says (`TrainSpec`).

    A plan of before a field does not have it.
    """
    attention = wanted.get("attention", "auto")
    decided = decided.model_copy(
        update={
            "attention": None if attention == "auto" else attention,
            "compile": wanted.get("compile", False),
            "liger": wanted.get("liger", False),
            "optimizer": "paged_adamw" if decided.method == "qlora" and resources.gpus_per_node else None,
            "packing": _packing(wanted["packing"], attention, decided, reasons),
        }
    )
    checkpointing = _checkpointing(wanted.get("activation_checkpointing", "auto"), decided, resources, counts, reasons)
    return decided.model_copy(update={"activation_checkpointing": checkpointing})


def _packing(wanted: Any, attention: str, decided: TrainConfig, reasons: Reasons) -> bool | str:
    """Where attention takes no mask of its own, packed rows are the one way to be without padding."""
    if wanted != "auto":
        return bool(wanted)
    if attention != "flash_attention_2" or decided.method in PROMPT_LEARNING:
        return False
    reasons["packing"] = "flash_attention_2 finds the ends of examples in a row without padding"
    return "if_possible"


def _checkpointing(
    wanted: Any, decided: TrainConfig, resources: Resources, counts: DataCounts, reasons: Reasons
) -> bool:
    """Only if the training would not fit without: computing activations again takes a third more time."""
    if wanted != "auto":
        return bool(wanted)
    if not resources.gpus_per_node or decided.method == "prefix_tuning":
        return False
    if resources.gpu_memory_gib is None or counts.model is None:
        missing = "resources.train.gpu_memory_gib is not set" if counts.model else "the model's sizes are not known"
        reasons["activation_checkpointing"] = f"off: {missing}"
        return False
    setup = with_longest(decided, counts)
    shape = ModelShape(**counts.model)
    need, less = (total(training(shape, replace(setup, checkpointing=on))) for on in (False, True))
    room = int(resources.gpu_memory_gib * GIB * USABLE)
    without = f"about {need / GIB:.1f} GiB of {room / GIB:.1f} are needed without"
    reasons["activation_checkpointing"] = f"{without}, {less / GIB:.1f} with it" if need > room else without
    return need > room


def with_longest(decided: TrainConfig, counts: DataCounts) -> Setup:
    """The training with a micro batch of the longest examples."""
    examples = max(1, sum(task.examples for task in counts.tasks.values()))
    answer = -(-sum(task.supervised_tokens for task in counts.tasks.values()) // examples)
    longest = max(1, counts.max_example_tokens)
    return with_batch(memory_setup(decided), decided.micro_batch_size, longest, answer, counts.common_prefix_tokens)
