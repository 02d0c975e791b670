"""The train program with batches by length, packed rows and frozen weights in bfloat16: stopped and resumed."""

from pathlib import Path
from typing import Any

import pytest

from jobs.train.__main__ import run
from sftjobs import names
from sftjobs.errors import DataError
from sftjobs.plan.configs import LoraConfig
from sftjobs.program import Stopped
from tests.support.architectures import make_model
from tests.support.program_runner import Outcome, run_here
from tests.support.slow import mostly_slow
from tests.support.tiny import tiny_model, tiny_tokenizer
from tests.support.training import losses, stop_after, train_config, training_data, tree

DROPOUT = LoraConfig(rank=4, alpha=8, dropout=0.2, target="all-linear")
SETTINGS: dict[str, dict[str, Any]] = {
    "by length": {"group_by_length": True},
    "packed": {"packing": True},
    "all": {"group_by_length": True, "packing": True, "precision": "bfloat16", "lora": DROPOUT},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "model": tiny_model(tmp_path_factory.mktemp("base")),
        "data": training_data(tmp_path_factory.mktemp("data")),
    }


def train(
    inputs: dict[str, Path], work: Path, resume: Path | None = None, change: Any = None, **settings: Any
) -> Outcome:
    more: dict[str, Any] = {"resume": resume} | ({"change": change} if change else {})
    return run_here(run, "jobs.train", train_config(**settings), inputs, work, **more)


@pytest.mark.parametrize("name", mostly_slow(SETTINGS, "all"))
def test_a_stopped_training_ends_with_the_same_bytes(name: str, inputs: dict[str, Path], tmp_path: Path) -> None:
    undisturbed = train(inputs, tmp_path / "undisturbed", **SETTINGS[name])
    with pytest.raises(Stopped):
        train(inputs, tmp_path / "stopped", change=stop_after(5), **SETTINGS[name])
    checkpoint = tmp_path / "stopped" / "checkpoints" / names.step_folder(5)
    resumed = train(inputs, tmp_path / "resumed", resume=checkpoint, **SETTINGS[name])
    assert tree(resumed.content) == tree(undisturbed.content)
    assert losses(resumed) == losses(undisturbed)
    plain = train(inputs, tmp_path / "plain")
    assert undisturbed.counts["examples_seen"] == plain.counts["examples_seen"] == 44
    assert undisturbed.counts["steps"] == plain.counts["steps"]
    if name == "packed":
        assert losses(undisturbed) == pytest.approx(losses(plain), rel=1e-5)
    else:
        assert losses(undisturbed) != pytest.approx(losses(plain), rel=1e-4)


def test_packing_is_refused_before_training(inputs: dict[str, Path], tmp_path: Path) -> None:
    """An architecture that no one compared is trained with padded batches."""
    folder = tmp_path / "helium"
    tiny_tokenizer(folder)
    make_model("helium", vocab_size=384, max_position_embeddings=512).save_pretrained(folder)
    with pytest.raises(DataError, match=r"train\.packing: true: architecture 'helium' is not known") as caught:
        train(inputs | {"model": folder}, tmp_path / "packed", packing=True)
    assert "Leave packing out" in str(caught.value)
    padded = train(inputs | {"model": folder}, tmp_path / "padded")
    layout = padded.report("train")["layout"]
    assert layout["shared_prefix_refused"].startswith("architecture 'helium'")
