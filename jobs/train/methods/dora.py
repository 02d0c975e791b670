"""DoRA: weight-decomposed low-rank adaptation (Liu et al. 2024, arXiv 2402.09353)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from jobs.train.methods.low_rank import LowRank


class Dora(LowRank):
    """LoRA changes the direction of each output's weights; their length is a trained vector of its own."""

    settings: ClassVar[Mapping[str, Any]] = {"use_dora": True}
