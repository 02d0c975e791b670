"""How the ranks of a training share its work: copies of everything (DDP), or DeepSpeed's ZeRO."""

from jobs.train.parallel.base import Parallel
from jobs.train.parallel.replicated import Replicated
from sftjobs.plan.configs import TrainConfig

__all__ = ["Parallel", "Replicated", "parallel_of"]


def parallel_of(config: TrainConfig) -> Parallel:
    """What `config` asks for. Raises DataError if DeepSpeed is asked for and not installed."""
    if config.zero is None:
        return Replicated()
    from jobs.train.parallel.zero import Zero  # DeepSpeed takes seconds to import, and only the train image has it

    return Zero(config)
