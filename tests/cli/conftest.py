"""Folders in which `sftjobs` is called as a person calls it; model folders are made once."""

from pathlib import Path

import pytest

from tests.support.cli_run import CliRun
from tests.support.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(scope="session")
def tokenizer_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `check` and `plan` need of a model: made without torch."""
    folder = tmp_path_factory.mktemp("models") / "model"
    tiny_tokenizer(folder)
    (folder / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 512}', "utf-8")
    return folder


@pytest.fixture(scope="session")
def whole_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that can be trained."""
    return tiny_model(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def sft(tmp_path: Path, tokenizer_only: Path) -> CliRun:
    """A run that can be checked and planned."""
    return CliRun(tmp_path, tokenizer_only)
