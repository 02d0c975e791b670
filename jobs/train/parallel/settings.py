"""The config that DeepSpeed gets. Pure: it is made from the plan, and nobody writes JSON by hand.

Whatever DeepSpeed's releases have given different defaults, and whatever two libraries would otherwise fill in, is said
here. The optimizer, its groups and the schedule are never named: DeepSpeed would make its own and drop the groups of
LoRA+ without a word.
"""

from typing import Any

from sftjobs.advice.memory import BUCKET, LIVE
from sftjobs.plan.configs import TrainConfig, ZeroConfig

NEVER = 10**9
"""Steps between two lines of DeepSpeed's own log: progress goes through the program contract."""
KEPT_WHOLE = 100_000
"""Stage 3: a parameter with fewer elements (norms, biases) is not partitioned."""


def deepspeed_settings(config: TrainConfig) -> dict[str, Any]:
    """For `config.zero`, which is not None."""
    assert config.zero is not None
    bfloat16 = config.precision == "bfloat16"
    made: dict[str, Any] = {
        # One step of the Trainer is a whole step of ours, with all its micro batches.
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": 1,
        "train_batch_size": config.micro_batch_size * config.world_size,
        "gradient_clipping": config.max_grad_norm,  # 1.0 if unset, since 0.19.3; before it was 0
        "bf16": {"enabled": bfloat16, "check_grad_overflow": True},
        "fp16": {"enabled": False},
        "torch_autocast": {"enabled": False},
        "prescale_gradients": False,
        # The optimizer is torch's, for all stages and with offload.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": NEVER,
        "wall_clock_breakdown": False,
        "zero_optimization": _zero(config.zero, config.device == "cuda"),
    }
    return merged(made, config.zero.overrides)


def _zero(zero: ZeroConfig, on_gpu: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "stage": zero.stage,
        "contiguous_gradients": True,
        "overlap_comm": on_gpu,
        "reduce_scatter": True,
        "round_robin_gradients": False,
        "reduce_bucket_size": BUCKET,
        "allgather_bucket_size": BUCKET,
        "elastic_checkpoint": False,
    }
    if zero.stage == 3:
        settings |= {
            "stage3_prefetch_bucket_size": BUCKET,
            "stage3_param_persistence_threshold": KEPT_WHOLE,
            "stage3_max_live_parameters": LIVE,
            "stage3_max_reuse_distance": LIVE,
            "sub_group_size": LIVE,
            # The tuned model is made from the float32 weights of the optimizer, not from rounded ones.
            "stage3_gather_16bit_weights_on_model_save": False,
        }
    if zero.offload != "none":
        settings["offload_optimizer"] = {"device": "cpu", "pin_memory": on_gpu}
    if zero.offload == "parameters":
        settings["offload_param"] = {"device": "cpu", "pin_memory": on_gpu}
    return settings


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`settings` with `changes`; a mapping is merged key by key, anything else replaced."""
    found = dict(settings)
    for key, value in changes.items():
        below = found.get(key)
        found[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return found
