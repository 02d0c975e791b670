"""Everything that makes a training repeatable, in one place."""

from hashlib import blake2b

import torch
from transformers import set_seed


def make_repeatable(seed: int, threads: int) -> None:
    """Fix the number of CPU threads (it can change the last digits) and every seed, and ask for repeatable kernels.

    Kernels that have no repeatable form warn and run: on a CPU there are none in what models use.
    """
    torch.set_num_threads(threads)
    set_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # The mode would also fill every new tensor with NaN, which is a debugging aid and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make the randomness of a step (dropout) a function of seed, step and rank: checkpoints need not hold it."""
    digest = blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=7).digest()
    torch.manual_seed(int.from_bytes(digest, "big"))
