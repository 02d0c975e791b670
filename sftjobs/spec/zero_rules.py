"""Rules about `train.zero` in run.yaml."""

from collections.abc import Iterator, Mapping
from typing import Any

from sftjobs.errors import Problem
from sftjobs.spec.source import Written
from sftjobs.spec.train import MethodName
from sftjobs.spec.words import describe, listed, nearest
from sftjobs.spec.zero import OF_STAGE_3, OVERRIDES, OWNED, ZERO_OVERRIDES, Kind

Problems = Iterator[Problem]
WHERE = ("train", "zero")
BELOW = "zero_optimization"
_LITTLE = "what it trains is so small that stages 1 and 2 save nothing, and stage 3 does not know virtual tokens"
NOT_SHARED: dict[MethodName, str] = {
    "qlora": "DeepSpeed cannot partition weights of 4 bits",
    "periodic_lora": "it changes frozen weights at the end of a cycle, of which DeepSpeed holds copies and parts",
    "prompt_tuning": _LITTLE,
    "p_tuning": _LITTLE,
    "prefix_tuning": _LITTLE,
}
"""Methods that cannot be trained under ZeRO, with the reason."""
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "flag": (bool, "true or false"),
    "count": (int, "a whole number, 0 or more"),
    "number": ((int, float), "a number above 0"),
    "mapping": (dict, "a mapping (key: value)"),
}


def problems(written: Written) -> Problems:
    """Everything that the rules find."""
    yield from without_stage(written)
    yield from combinations(written)
    yield from overrides(written)


def without_stage(written: Written) -> Problems:
    """No setting without effect."""
    zero = written.spec.train.zero
    if zero.stage:
        return
    for field in ("offload", "overrides"):
        if field in zero.model_fields_set and getattr(zero, field) not in ("none", {}):
            message = "has no effect with stage 0; set stage: 1, 2 or 3, or remove it"
            yield written.run.problem((*WHERE, field), message)


def combinations(written: Written) -> Problems:
    """What does not work together."""
    train, resources = written.spec.train, written.spec.resources.train
    stage, offload = train.zero.stage, train.zero.offload
    if not stage:
        return
    if train.method in NOT_SHARED:
        message = f"{stage} does not go with method {train.method}: {NOT_SHARED[train.method]}; remove train.zero"
        yield written.run.problem((*WHERE, "stage"), message)
    if offload == "parameters" and stage != 3:
        message = f"parameters needs stage 3, this is stage {stage}, where every rank computes with all weights; "
        yield written.run.problem((*WHERE, "offload"), message + "set stage: 3, or use optimizer")
    ranks = resources.nodes * (resources.processes_per_node or max(1, resources.gpus_per_node))
    if ranks == 1 and offload == "none":
        message = f"{stage} has no effect with one rank: there is nobody to share with; remove train.zero, set "
        more = "nodes or gpus_per_node" if resources.gpus_per_node else "nodes, gpus_per_node or processes_per_node"
        way_out = f"resources.train.{more}, or keep the optimizer in the memory of the CPU (offload: optimizer)"
        yield written.run.problem((*WHERE, "stage"), message + way_out)


def overrides(written: Written) -> Problems:
    """Only keys that DeepSpeed has and that no field of run.yaml sets, with values of the right kind."""
    changes = written.spec.train.zero.overrides
    below = changes.get(BELOW, {})
    yield from _keys(written, (), {key: value for key, value in changes.items() if key != BELOW}, OVERRIDES)
    if isinstance(below, dict):
        yield from _keys(written, (BELOW,), below, ZERO_OVERRIDES)
    else:
        yield written.run.problem((*WHERE, "overrides", BELOW), f"expected a mapping (key: value); {describe(below)}")


def _keys(written: Written, prefix: tuple[str, ...], values: Mapping[str, Any], known: Mapping[str, Kind]) -> Problems:
    for key, value in values.items():
        where = (*WHERE, "overrides", *prefix, key)
        owner = OWNED.get(".".join((*prefix, key)))
        if owner is not None:
            yield written.run.problem(where, f"is set by {owner}; remove it here")
        elif key not in known:
            meant = nearest(key, known if prefix else [*known, BELOW])
            hint = f"did you mean '{meant}'?" if meant else "docs/distributed.md lists what can be changed"
            yield written.run.problem(where, f"no setting of DeepSpeed that can be changed here; {hint}")
        elif (expected := _wrong(value, known[key])) is not None:
            yield written.run.problem(where, f"expected {expected}; {describe(value)}")
        elif (stage := written.spec.train.zero.stage) in (1, 2) and key in OF_STAGE_3:
            yield written.run.problem(where, f"has no effect with stage {stage}; remove it, or set stage: 3")


def _wrong(value: Any, kind: Kind) -> str | None:
    """What was expected, if `value` is not of this kind."""
    if isinstance(kind, tuple):
        return None if value in kind else listed(kind)
    types, words = _KINDS[kind]
    if kind == "count" and isinstance(value, float) and value.is_integer():
        value = int(value)  # 2e8
    right = isinstance(value, types) and (kind == "flag" or not isinstance(value, bool))
    if right and kind in ("count", "number"):
        right = value >= 0 if kind == "count" else value > 0
    return None if right else words
