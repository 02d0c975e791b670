"""What the tests of training start from; a module may have a base model or data of its own instead."""

from pathlib import Path

import pytest

from tests.support.tiny import tiny_model
from tests.support.training import training_data


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random model."""
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder as the data stage leaves it: 22 examples."""
    return training_data(tmp_path_factory.mktemp("data"))
