"""What else the train program does, under ZeRO: bfloat16, looks with answers, a loss that is not a number."""

import json
from pathlib import Path

import pytest

from sftjobs.names import Exit
from tests.support.dist_cases import Trained, Variant
from tests.support.dist_program import CHECKPOINTED, checkpointed
from tests.support.ranks import Result
from tests.support.training import losses, tree


@pytest.mark.parametrize("name", ["full ZeRO-1", "full ZeRO-3", "lora ZeRO-3"])
def test_bfloat16_is_that_of_autocast_up_to_its_rounding(name: str, done: Trained) -> None:
    """Weights are rounded for the passes in either case, and what is trained is float32 in either case."""
    found, wanted = done[f"bfloat16 {name}"], done[f"bfloat16 {name.split()[0]} DDP"]
    assert found.codes == [0, 0], found.messages
    assert losses(found.outcome) == pytest.approx(losses(wanted.outcome), rel=2e-3)
    assert losses(found.outcome)[-1] < losses(found.outcome)[0]


@pytest.mark.parametrize("variant", CHECKPOINTED, ids=lambda one: one.name)
def test_activation_checkpointing_leaves_the_same_bytes(variant: Variant, done: Trained) -> None:
    """Layers that are computed again get their weights from the other ranks again."""
    found, wanted = done[checkpointed(variant)], done[variant.name]
    assert found.codes == [0, 0], found.messages
    assert losses(found.outcome) == losses(wanted.outcome)
    assert tree(found.outcome.content) == tree(wanted.outcome.content)


def test_looks_with_answers(done: Trained) -> None:
    """Under ZeRO-3 all ranks make all answers, since a layer's weights come from all of them."""
    found, wanted = done["answers ZeRO-3"], done["answers DDP"]
    assert found.codes == wanted.codes == [0, 0], (found.messages, wanted.messages)

    def looks(result: Result) -> list[dict[str, float]]:
        lines = (result.outcome.info / "metrics.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if "dev_loss" in line]

    assert [line["step"] for line in looks(found)] == [0, 4]
    for one, other in zip(looks(found), looks(wanted), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("engine", ["ZeRO-1", "ZeRO-3"])
def test_what_is_not_finite_is_never_exported(engine: str, done: Trained) -> None:
    """All ranks say so, in the same step."""
    refused = done[f"not finite {engine}"]
    assert refused.codes == [Exit.BAD_CONFIG] * 2
    assert all(message.startswith("training step ") and " is " in message for message in refused.messages)
    assert len({message.split(":")[0] for message in refused.messages}) == 1
    assert "nothing was exported" in refused.messages[0]
    assert not any(refused.outcome.content.iterdir())


def test_the_config_of_deepspeed_is_told(done: Trained) -> None:
    info: Path = done["answers ZeRO-3"].outcome.info
    assert json.loads((info / "deepspeed.json").read_text())["zero_optimization"]["stage"] == 3
    assert not (done["answers DDP"].outcome.info / "deepspeed.json").exists()
