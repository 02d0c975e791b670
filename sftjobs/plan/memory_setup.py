"""A training as the formula for its memory takes it (`sftjobs.advice.need`): for planning, and for training itself."""

from dataclasses import replace

from sftjobs.advice.need import Setup
from sftjobs.plan.configs import TrainConfig


def memory_setup(config: TrainConfig) -> Setup:
    """Without its batch."""
    lora, zero, virtual = config.lora, config.zero, config.prompt_learning
    on_gpu = config.device == "cuda"
    setup = Setup(
        config.method,
        config.precision,
        accumulated=config.gradient_accumulation_steps > 1,
        ranks=config.world_size,
        stage=zero.stage if zero else 0,
        offload=zero.offload if zero and on_gpu else "none",  # on a CPU it is the same memory
        gpu=on_gpu,
        checkpointing=config.activation_checkpointing,
    )
    if lora is not None:
        setup = replace(setup, rank=lora.rank, target=lora.target, dropout=lora.dropout)
    return setup if virtual is None else replace(setup, virtual_tokens=virtual.virtual_tokens)
