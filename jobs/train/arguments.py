"""TrainConfig as the Trainer's arguments."""

from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from sftjobs.plan.configs import TrainConfig

COLLECTIVE_S = 1800
"""How long gloo and NCCL wait for a rank at least."""
MARGIN_S = 600
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def training_arguments(
    config: TrainConfig, scratch: Path, deepspeed: dict[str, Any] | None = None, patience_s: int = 0
) -> TrainingArguments:
    """Arguments under which the Trainer writes nothing and logs nothing: that is done at step edges.

    `deepspeed`: DeepSpeed's config. `patience_s`: silence that is no hang yet, seconds; the agent has to find a hang
    before gloo or NCCL does, because it knows which rank is behind. Accumulation is 1 because one batch of `SftTrainer`
    is a whole optimizer step.
    """
    on_cpu = config.device == "cpu"
    return TrainingArguments(
        output_dir=str(scratch),
        max_steps=config.steps,
        per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=1,
        learning_rate=config.learning_rate,
        lr_scheduler_type=SCHEDULES[config.schedule],
        warmup_steps=config.warmup_steps,
        optim="adamw_torch_fused",
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=config.precision == "bfloat16",
        deepspeed=deepspeed,
        seed=config.seed,
        use_cpu=on_cpu,
        ddp_backend=None if config.world_size == 1 and deepspeed is None else "gloo" if on_cpu else "nccl",
        ddp_timeout=max(COLLECTIVE_S, patience_s + MARGIN_S),
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        activation_checkpointing=False,
    )
