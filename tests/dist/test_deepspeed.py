"""What is said about DeepSpeed holds for the DeepSpeed that is installed."""

import os
import warnings
from collections.abc import Iterator
from types import ModuleType

import pytest
from torch import nn

from jobs.train.parallel import parallel_of
from jobs.train.parallel.settings import deepspeed_settings
from sftjobs.errors import SftError
from sftjobs.plan.configs import ZeroConfig
from sftjobs.spec.zero import OVERRIDES, OWNED, ZERO_OVERRIDES
from tests.support.training import train_config


@pytest.fixture(scope="module", autouse=True)
def deepspeed() -> Iterator[None]:
    """Its import warns of many things, and guesses the device unless it is told."""
    before = os.environ.get("DS_ACCELERATOR")
    os.environ["DS_ACCELERATOR"] = "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    if before is None:
        del os.environ["DS_ACCELERATOR"]
    else:
        os.environ["DS_ACCELERATOR"] = before


def zero_fields() -> set[str]:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    fields = DeepSpeedZeroConfig.model_fields
    return set(fields) | {field.alias for field in fields.values() if field.alias}


def known_keys() -> set[str]:
    """DeepSpeed reads its config through constants, and ignores what it does not know."""
    import deepspeed.comm.constants
    import deepspeed.profiling.constants
    import deepspeed.runtime.constants
    import deepspeed.runtime.precision_config
    import deepspeed.runtime.zero.config

    modules: list[ModuleType] = [
        deepspeed.comm.constants,
        deepspeed.profiling.constants,
        deepspeed.runtime.constants,
        deepspeed.runtime.precision_config,
        deepspeed.runtime.zero.config,
    ]
    return {value for module in modules for value in vars(module).values() if isinstance(value, str)}


def test_what_may_be_changed_exists() -> None:
    assert set(ZERO_OVERRIDES) <= zero_fields()
    assert set(OVERRIDES) <= known_keys() | {"timers"}


def test_what_is_generated_exists() -> None:
    made = deepspeed_settings(train_config("full", zero=ZeroConfig(stage=3, offload="parameters")))
    assert set(made.pop("zero_optimization")) <= zero_fields()
    assert set(made) <= known_keys() | {"torch_autocast"}


def test_what_is_ours_exists() -> None:
    """A key that DeepSpeed had no name for would be refused with a wrong reason."""
    below = {key.partition(".")[2] for key in OWNED if "." in key}
    assert below <= zero_fields()


def test_another_wrapper_than_planned_is_an_error() -> None:
    """A launcher that lost DeepSpeed's settings would train copies, and say nothing."""
    zero = parallel_of(train_config("full", zero=ZeroConfig(stage=2)))
    with pytest.raises(SftError, match=r"the plan has train\.zero\.stage 2, the model is a Linear instead of"):
        zero.check(nn.Linear(1, 1))
