"""rsLoRA: rank-stabilized LoRA (Kalajdzievski 2023, arXiv 2312.03732)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from jobs.train.methods.low_rank import LowRank


class RankStabilized(LowRank):
    """LoRA with the factor alpha / sqrt(rank): the size of the update does not shrink as the rank grows."""

    settings: ClassVar[Mapping[str, Any]] = {"use_rslora": True}
