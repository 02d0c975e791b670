"""The part of run.yaml about DeepSpeed's ZeRO, and which settings of DeepSpeed may be changed by hand."""

from typing import Any, Literal

from sftjobs.model import Document

Stage = Literal[0, 1, 2, 3]
Offload = Literal["none", "optimizer", "parameters"]


class ZeroSpec(Document):
    """Share the model's state between ranks instead of keeping copies (docs/distributed.md).

    DeepSpeed's ZeRO (Rajbhandari et al. 2020, arXiv 1910.02054) gives the result of training without it.
    """

    stage: Stage = 0
    """What each rank keeps only its part of: 0 nothing (DDP), 1 the optimizer, 2 gradients too, 3 weights too."""
    offload: Offload = "none"
    """What is kept in the memory of the CPU instead of that of the GPU: `optimizer` (its state and float32 weights), or
    `parameters` with it (stage 3). Slower, for models that do not fit otherwise."""
    overrides: dict[str, Any] = {}
    """Changes of the DeepSpeed config that is generated, e.g. `{zero_optimization: {reduce_bucket_size: 200000000}}`;
    docs/distributed.md lists what can be changed."""


Kind = Literal["flag", "count", "number", "mapping"] | tuple[str, ...]
"""What a value has to be; a tuple lists the words."""

OVERRIDES: dict[str, Kind] = {
    "communication_data_type": ("fp32", "bf16"),
    "comms_logger": "mapping",
    "dump_state": "flag",
    "flops_profiler": "mapping",
    "gradient_predivide_factor": "number",
    "memory_breakdown": "flag",
    "prescale_gradients": "flag",
    "steps_per_print": "count",
    "timers": "mapping",
    "wall_clock_breakdown": "flag",
}
"""Keys of DeepSpeed 0.19's config that change speed, memory or what is logged, and not what is trained.

`communication_data_type: bf16` rounds gradients on their way between ranks, to send half as much.
"""

ZERO_OVERRIDES: dict[str, Kind] = {
    "allgather_bucket_size": "count",
    "allgather_partitions": "flag",
    "contiguous_gradients": "flag",
    "overlap_comm": "flag",
    "reduce_bucket_size": "count",
    "reduce_scatter": "flag",
    "round_robin_gradients": "flag",
    "stage3_max_live_parameters": "count",
    "stage3_max_reuse_distance": "count",
    "stage3_model_persistence_threshold": "count",
    "stage3_param_persistence_threshold": "count",
    "stage3_prefetch_bucket_size": "count",
    "sub_group_size": "count",
    "use_multi_rank_bucket_allreduce": "flag",
}
"""The same below `zero_optimization`."""

OF_STAGE_3 = frozenset({"sub_group_size", *(key for key in ZERO_OVERRIDES if key.startswith("stage3_"))})
"""Those that DeepSpeed reads in stage 3 alone."""

OWNED: dict[str, str] = {
    "train_batch_size": "train.global_batch_size",
    "train_micro_batch_size_per_gpu": "train.micro_batch_size",
    "gradient_accumulation_steps": "train.global_batch_size and train.micro_batch_size",
    "gradient_clipping": "train.max_grad_norm",
    "optimizer": "train.learning_rate and train.weight_decay",
    "scheduler": "train.schedule and train.warmup",
    "fp16": "train.precision",
    "bf16": "train.precision",
    "torch_autocast": "train.precision",
    "amp": "train.precision",
    "data_types": "train.precision",
    "tensorboard": "train.report_to",
    "wandb": "train.report_to",
    "zero_optimization.stage": "train.zero.stage",
    "zero_optimization.offload_optimizer": "train.zero.offload",
    "zero_optimization.offload_param": "train.zero.offload",
    "zero_optimization.cpu_offload": "train.zero.offload",
}
"""Keys of DeepSpeed that a field of run.yaml sets."""
