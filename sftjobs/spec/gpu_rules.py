"""Rules about what training does because of GPUs."""

from collections.abc import Iterator

from sftjobs.errors import Problem
from sftjobs.spec.source import Written

Problems = Iterator[Problem]


def problems(written: Written) -> Problems:
    """Everything that the rules find."""
    for rule in (memory, checkpointing):
        yield from rule(written)


def memory(written: Written) -> Problems:
    """No setting without effect."""
    for kind in ("data", "train", "eval"):
        resources = getattr(written.spec.resources, kind)
        if resources.gpu_memory_gib is None or (kind == "train" and resources.gpus_per_node):
            continue
        why = "without gpus_per_node" if kind == "train" else f"for stages of kind {kind}, of training only"
        yield written.run.problem(("resources", kind, "gpu_memory_gib"), f"has no effect {why}; remove it")


def checkpointing(written: Written) -> Problems:
    """Keys and values that are given to a layer would be lost when it is computed again."""
    train = written.spec.train
    if train.activation_checkpointing is True and train.method == "prefix_tuning":
        message = (
            "true does not go with method prefix_tuning: a layer that is computed again is not given the keys and "
            "values of the virtual tokens; remove the key, or set method: p_tuning"
        )
        yield written.run.problem(("train", "activation_checkpointing"), message)
