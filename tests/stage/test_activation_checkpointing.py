"""Activation checkpointing changes memory, never what is learned."""

from pathlib import Path
from typing import Any

import pytest
from torch.utils import checkpoint

from jobs.train.__main__ import run
from sftjobs.errors import DataError
from tests.support.architectures import make_model
from tests.support.program_runner import Outcome, run_here
from tests.support.slow import mostly_slow
from tests.support.tiny import tiny_tokenizer
from tests.support.training import LORA, losses, train_config, tree

DROPOUT = LORA.model_copy(update={"dropout": 0.2})
SETTINGS: dict[str, dict[str, Any]] = {
    "full, prefix shared": {"method": "full"},
    "full, bfloat16": {"method": "full", "precision": "bfloat16"},
    "lora with dropout, packed": {"method": "lora", "lora": DROPOUT, "packing": True},
    "dora, several micro batches": {"method": "dora", "micro_batch_size": 2, "gradient_accumulation_steps": 2},
    "qlora": {"method": "qlora"},
    "p-tuning": {"method": "p_tuning"},
    "prompt tuning": {"method": "prompt_tuning", "precision": "bfloat16"},
}


@pytest.fixture
def layers_computed_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the layers that the real function checkpoints."""
    counted: list[int] = []
    real = checkpoint.checkpoint

    def counting(*arguments: Any, **named: Any) -> Any:
        counted.append(1)
        return real(*arguments, **named)

    monkeypatch.setattr("transformers.modeling_utils.checkpoint", counting)
    return counted


@pytest.mark.parametrize("name", mostly_slow(SETTINGS, "full, bfloat16", "lora with dropout, packed"))
def test_the_tuned_model_has_the_same_bytes(
    name: str, base: Path, data: Path, tmp_path: Path, layers_computed_again: list[int]
) -> None:
    inputs = {"model": base, "data": data}
    found: dict[bool, Outcome] = {}
    for on in (False, True):
        config = train_config(**SETTINGS[name], activation_checkpointing=on)
        found[on] = run_here(run, "jobs.train", config, inputs, tmp_path / str(on))
        assert bool(layers_computed_again) is on
    assert losses(found[True]) == losses(found[False])
    assert tree(found[True].content) == tree(found[False].content)


def test_an_architecture_that_cannot_is_named(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    tiny_tokenizer(folder)
    make_model("ctrl", vocab_size=384).save_pretrained(folder)
    config = train_config("lora", activation_checkpointing=True)
    with pytest.raises(DataError, match=r"train\.activation_checkpointing: true: CTRL"):
        run_here(run, "jobs.train", config, {"model": folder, "data": data}, tmp_path / "work")
