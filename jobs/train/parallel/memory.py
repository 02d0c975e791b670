"""What ZeRO keeps on a rank: bytes of weights, gradients and optimizer."""

from dataclasses import dataclass

from jobs.train.parallel.settings import BUCKET, LIVE
from sftjobs.plan.configs import ZeroConfig


@dataclass(frozen=True)
class Sizes:
    """Of the whole model."""

    parameters: int
    trainable: int
    ranks: int
    bfloat16: bool
    on_gpu: bool
    """What is offloaded to the CPU then does not count."""


def zero_parts(zero: ZeroConfig, sizes: Sizes) -> dict[str, int]:
    """Bytes by part on one rank (Rajbhandari et al. 2020, arXiv 1910.02054, section 3 and figure 1).

    With P weights, T of them trained, w bytes each (2 in bfloat16, else 4) and N ranks: weights wP, in stage 3 wP / N
    and those of the layers that compute; gradients wT, from stage 2 on wT / N; AdamW's moments 8T / N and float32
    weights 4T / N, which in stage 3 without bfloat16 are the weights themselves.
    """
    each = 2 if sizes.bfloat16 else 4
    share = sizes.ranks
    weights = each * sizes.parameters
    bucket = each * min(BUCKET, sizes.trainable)
    own_copy = zero.stage < 3 or sizes.bfloat16 or zero.offload != "none"
    found = {
        "weights": weights // share if zero.stage == 3 else weights,
        "gathered weights": each * min(LIVE, sizes.parameters) if zero.stage == 3 else 0,
        "gradients": each * sizes.trainable // (share if zero.stage >= 2 else 1) + bucket,
        "optimizer": (8 + 4 * own_copy) * sizes.trainable // share,
    }
    if sizes.on_gpu and zero.offload != "none":
        found["optimizer"] = 0
    if sizes.on_gpu and zero.offload == "parameters":
        found["weights"] = 0
    return found
