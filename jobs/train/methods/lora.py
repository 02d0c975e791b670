"""LoRA: low-rank adaptation (Hu et al. 2021, arXiv 2106.09685)."""

from jobs.train.methods.low_rank import LowRank


class Lora(LowRank):
    """W + (alpha / rank) B A beside a frozen W; A starts as small random numbers, B as zeros."""
