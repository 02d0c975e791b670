"""Trainings on several ranks, stopped in their fifth step, with looks at a dev set and the best weights kept."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from sftjobs import names
from sftjobs.plan.configs import DevConfig, TrainConfig
from tests.support.dist_cases import Variant, World, config_of
from tests.support.ranks import Case, Result

LOOKS = DevConfig(every_steps=2, max_new_tokens=4, patience=None, max_examples=5)
"""Five examples, so one of two ranks has nothing to do in the last round."""
STEPS = 8
STOP = 5
STOPPED = (
    Variant("lora", "DDP", 2, 2),
    Variant("full", "ZeRO-1", 2, 2),
    Variant("lora", "ZeRO-2", 2, 2),
    Variant("full", "ZeRO-2 + optimizer on CPU", 2, 2),
    Variant("full", "ZeRO-3", 2, 2),
    Variant("lora", "ZeRO-3 + all on CPU", 2, 2),
    # Sums of more than two numbers depend on their order, which must not be another one after a resume.
    Variant("full", "ZeRO-2", 4, 2),
    Variant("full", "ZeRO-3", 4, 2),
)
LATE = STOPPED[4]
"""Also stopped in its last step: no step is left then, and the weights come from the checkpoint all the same."""
STOPPED_LATE, RESUMED_LATE = "stopped in the last step", "resumed after the last step"
OTHER_ENGINE, OTHER_RANKS = "checkpoint of another engine", "checkpoint of another number of ranks"


def config(variant: Variant) -> TrainConfig:
    """The rate is so high that a lost moment shows."""
    return config_of(variant, steps=STEPS, warmup_steps=3, learning_rate=1e-3, dev=LOOKS, keep="best")


def undisturbed(variant: Variant) -> str:
    return f"undisturbed {variant.name}"


def stopped(variant: Variant) -> str:
    return f"stopped {variant.name}"


def cases(world: World, ranks: int) -> dict[str, Case]:
    """Each of so many ranks undisturbed, and with a SIGTERM to its second rank only."""
    found: dict[str, Case] = {}
    for variant in [one for one in STOPPED if one.ranks == ranks]:
        found[undisturbed(variant)] = Case(config(variant), world.inputs())
        found[stopped(variant)] = Case(config(variant), world.inputs(), term_rank=1, term_step=STOP)
    if ranks == LATE.ranks:
        found[STOPPED_LATE] = Case(config(LATE), world.inputs(), term_rank=1, term_step=STEPS)
    return found


def checkpoint(done: Mapping[str, Result], variant: Variant) -> Path:
    return done[stopped(variant)].outcome.checkpoints / names.step_folder(STOP)


def resumed(world: World, done: Mapping[str, Result], ranks: int) -> dict[str, Case]:
    """Each of so many ranks resumed."""
    return {
        one.name: Case(config(one), world.inputs(), resume=checkpoint(done, one))
        for one in STOPPED
        if one.ranks == ranks
    }


def resumed_late(world: World, done: Mapping[str, Result]) -> dict[str, Case]:
    """After the last step."""
    saved = done[STOPPED_LATE].outcome.checkpoints / names.step_folder(STEPS)
    return {RESUMED_LATE: Case(config(LATE), world.inputs(), resume=saved)}


def unfit(world: World, done: Mapping[str, Result], folder: Path) -> dict[str, Case]:
    """Two of two ranks that must not be resumed."""
    first, second = STOPPED[1], STOPPED[2]
    copied = _of_four_ranks(checkpoint(done, first), folder)
    return {
        OTHER_ENGINE: Case(config(second), world.inputs(), resume=checkpoint(done, first), key_of=config(first)),
        OTHER_RANKS: Case(config(first), world.inputs(), resume=copied),
    }


def _of_four_ranks(source: Path, folder: Path) -> Path:
    """A copy that says that four ranks made it."""
    copied = folder / "of-four-ranks" / source.name
    shutil.copytree(source, copied)
    for path in copied.glob("*/checkpoint.json"):
        header = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(header | {"world_size": 4}), encoding="utf-8")
    return copied
