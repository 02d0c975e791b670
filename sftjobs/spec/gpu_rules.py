"""Rules about what training does because of GPUs."""

from collections.abc import Iterator

from sftjobs.errors import Problem
from sftjobs.spec.source import Written
from sftjobs.spec.train import PROMPT_LEARNING

Problems = Iterator[Problem]


def problems(written: Written) -> Problems:
    """Everything that the rules find."""
    for rule in (memory, attention, kernels, checkpointing):
        yield from rule(written)


def memory(written: Written) -> Problems:
    """No setting without effect."""
    for kind in ("data", "train", "eval"):
        resources = getattr(written.spec.resources, kind)
        if resources.gpu_memory_gib is None or (kind == "train" and resources.gpus_per_node):
            continue
        why = "without gpus_per_node" if kind == "train" else f"for stages of kind {kind}, of training only"
        yield written.run.problem(("resources", kind, "gpu_memory_gib"), f"has no effect {why}; remove it")


def attention(written: Written) -> Problems:
    """What is made for GPUs, and what it needs there."""
    train, wanted = written.spec.train, written.spec.train.attention
    if wanted not in ("flash_attention_2", "flex"):
        return
    messages = []
    if not written.spec.resources.train.gpus_per_node:
        why = "has no backward pass on a CPU" if wanted == "flex" else "is for CUDA only"
        messages.append(f"{why}: set resources.train.gpus_per_node, or use sdpa")
    if wanted == "flash_attention_2" and train.precision == "float32":
        messages.append("computes 16-bit numbers only: set train.precision: bfloat16, or use sdpa")
    if wanted == "flex" and train.method in PROMPT_LEARNING:
        messages.append(f"has no effect with method {train.method}, whose examples share no row; use sdpa")
    if wanted == "flex" and train.packing is True:
        messages.append("takes a mask, and packing: true has none; flex packs without it: remove packing")
    for message in messages:
        yield written.run.problem(("train", "attention"), f"{wanted} {message}")


def kernels(written: Written) -> Problems:
    """What is compiled for GPUs, and what it cannot be combined with."""
    train = written.spec.train
    for field in ("compile", "liger"):
        if getattr(train, field) and not written.spec.resources.train.gpus_per_node:
            message = "true is for GPUs: set resources.train.gpus_per_node, or remove the key"
            yield written.run.problem(("train", field), message)
    if not train.compile:
        return
    if train.zero.stage == 3:
        message = (
            "true does not go with train.zero.stage 3, which gathers the weights of a layer in the middle of what "
            "would be compiled; remove the key, or use stage 2"
        )
        yield written.run.problem(("train", "compile"), message)
    if train.method == "qlora":
        message = (
            "true does not go with method qlora: kernels for weights of 4 bits would cut every layer into pieces; "
            "remove the key, or use lora"
        )
        yield written.run.problem(("train", "compile"), message)


def checkpointing(written: Written) -> Problems:
    """Keys and values that are given to a layer would be lost when it is computed again."""
    train = written.spec.train
    if train.activation_checkpointing is True and train.method == "prefix_tuning":
        message = (
            "true does not go with method prefix_tuning: a layer that is computed again is not given the keys and "
            "values of the virtual tokens; remove the key, or set method: p_tuning"
        )
        yield written.run.problem(("train", "activation_checkpointing"), message)
