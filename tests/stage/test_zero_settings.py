"""The config that DeepSpeed gets, and what ZeRO is said to need."""

from typing import Any

import pytest

from jobs.train.parallel.settings import BUCKET, deepspeed_settings
from sftjobs.plan.configs import ZeroConfig
from tests.support.training import train_config


def settings(stage: Any, **more: Any) -> dict[str, Any]:
    zero = {name: more.pop(name) for name in ("offload", "overrides") if name in more}
    return deepspeed_settings(train_config("full", world_size=4, zero=ZeroConfig(stage=stage, **zero), **more))


def test_what_is_ours_is_said() -> None:
    """DeepSpeed's defaults for these have changed, or differ from what accelerate fills in."""
    made = settings(2, max_grad_norm=0.7, gradient_accumulation_steps=3)
    assert (made["train_micro_batch_size_per_gpu"], made["gradient_accumulation_steps"]) == (4, 1)
    assert made["train_batch_size"] == 16
    assert made["gradient_clipping"] == 0.7
    assert made["bf16"] == {"enabled": False, "check_grad_overflow": True}
    assert not made["fp16"]["enabled"] and not made["torch_autocast"]["enabled"]
    assert made["zero_force_ds_cpu_optimizer"] is False
    assert "optimizer" not in made and "scheduler" not in made
    assert not any(name.startswith("stage3") for name in made["zero_optimization"])


def test_bfloat16_is_deepspeeds() -> None:
    assert settings(3, precision="bfloat16")["bf16"]["enabled"]


@pytest.mark.parametrize(
    ("offload", "expected"),
    [("none", set()), ("optimizer", {"offload_optimizer"}), ("parameters", {"offload_optimizer", "offload_param"})],
)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_offload(offload: str, expected: set[str], device: str) -> None:
    zero = settings(3, offload=offload, device=device)["zero_optimization"]
    found = {name: value for name, value in zero.items() if name.startswith("offload")}
    assert found == {name: {"device": "cpu", "pin_memory": device == "cuda"} for name in expected}
    assert zero["stage3_gather_16bit_weights_on_model_save"] is False


def test_overrides_change_single_keys() -> None:
    made = settings(2, overrides={"zero_optimization": {"reduce_bucket_size": 5}, "steps_per_print": 10})
    assert made["steps_per_print"] == 10
    assert made["zero_optimization"]["reduce_bucket_size"] == 5
    assert made["zero_optimization"]["stage"] == 2
    assert settings(2)["zero_optimization"]["reduce_bucket_size"] == BUCKET
