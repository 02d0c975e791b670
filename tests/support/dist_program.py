"""What else the train program does, on two ranks and under ZeRO."""

from sftjobs.plan.configs import DevConfig, MetricConfig
from tests.support.dist_cases import Variant, World, config_of
from tests.support.ranks import Case

ANSWERS = DevConfig(
    every_steps=4, metric=MetricConfig(name="exact_match"), max_new_tokens=4, patience=None, max_examples=5
)


CHECKPOINTED = (
    Variant("full", "DDP", 2, 2),
    Variant("full", "ZeRO-2", 2, 2, "packed"),
    Variant("full", "ZeRO-3", 2, 2),
    Variant("lora", "ZeRO-3", 2, 2, "packed"),
)
"""Trainings of the table that are done with activation checkpointing, too."""


def checkpointed(variant: Variant) -> str:
    return f"activation checkpointing {variant.name}"


def cases(world: World) -> dict[str, Case]:
    """bfloat16, activation checkpointing, looks with generated answers, and a training that breaks."""
    ddp, one, three = (Variant("full", engine, 2, 2) for engine in ("DDP", "ZeRO-1", "ZeRO-3"))
    found: dict[str, Case] = {}
    for variant in (ddp, one, three, Variant("lora", "DDP", 2, 2), Variant("lora", "ZeRO-3", 2, 2)):
        config = config_of(variant, steps=6, precision="bfloat16", learning_rate=1e-3)
        found[f"bfloat16 {variant.method} {variant.engine}"] = Case(config, world.inputs())
    for variant in CHECKPOINTED:
        config = config_of(variant, activation_checkpointing=True)
        found[checkpointed(variant)] = Case(config, world.inputs(variant.layout))
    for variant in (ddp, three):
        found[f"answers {variant.engine}"] = Case(config_of(variant, steps=4, dev=ANSWERS), world.inputs())
    for variant in (one, three):
        config = config_of(variant, steps=6, learning_rate=1e30, schedule="constant")
        found[f"not finite {variant.engine}"] = Case(config, world.inputs())
    return found
