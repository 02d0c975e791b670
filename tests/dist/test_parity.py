"""Ranks, accumulation, layout and engine do not change what is learned (docs/distributed.md has the table)."""

import pytest
from safetensors.torch import load_file

from tests.support.dist_cases import CHOSEN, EVERY, Trained, Variant, World
from tests.support.parity import distance

TOLERANCE = 1e-5
"""Of loss and gradient norm of each of the 20 steps."""
OF_WEIGHTS = 1e-4
"""Of each tensor of the tuned model."""


SLOW = [pytest.param(one, marks=pytest.mark.slow) for one in EVERY if one not in CHOSEN]


@pytest.mark.parametrize("variant", [*CHOSEN, *SLOW], ids=lambda one: one.name)
def test_equal_to_one_rank(variant: Variant, world: World, done: Trained) -> None:
    result, reference = done[variant.name], done[variant.reference.name]
    assert result.codes == [0] * variant.ranks, result.messages
    found = distance(result.outcome, reference.outcome, world.inputs(variant.layout)["model"])
    assert found.loss <= TOLERANCE
    assert found.gradient_norm <= TOLERANCE
    assert found.weights <= OF_WEIGHTS
    assert found.moved > 30 * OF_WEIGHTS
    layout = result.outcome.report("train")["layout"]
    assert (layout["shared_prefix"] > 0) == (variant.layout == "shared" and variant.micro > 1)


def test_only_rank_0_exports_and_counts_are_those_of_one_rank(done: Trained) -> None:
    """Under ZeRO-3 no rank holds the model, and each parameter still counts once."""
    for variant in CHOSEN:
        wanted, found = done[variant.reference.name].outcome.counts, done[variant.name].outcome.counts
        for name in ("steps", "examples_seen", "supervised_tokens", "trainable_parameters", "total_parameters"):
            assert found[name] == wanted[name], (variant.name, name)


def test_the_groups_of_lora_plus_survive_deepspeed(done: Trained) -> None:
    """B learns 16 times as fast as A, so it is further from its start than that of LoRA with the same rate."""

    def size_of_b(method: str) -> float:
        variant = next(one for one in CHOSEN if (one.method, one.engine) == (method, "ZeRO-3"))
        adapter = load_file(done[variant.name].outcome.content / "adapter" / "adapter_model.safetensors")
        return sum(value.norm().item() for name, value in adapter.items() if "lora_B" in name)

    assert size_of_b("lora_plus") > 5 * size_of_b("lora")
