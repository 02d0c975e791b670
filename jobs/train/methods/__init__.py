"""How a model is tuned: `train.method` of run.yaml. One file per method, under its name in the literature."""

from jobs.train.methods import (
    dora,
    full,
    lora,
    lora_plus,
    p_tuning,
    periodic_lora,
    prefix_tuning,
    prompt_tuning,
    qlora,
    rslora,
)
from jobs.train.methods.base import Method, TrainedModel
from sftjobs.spec.train import MethodName

__all__ = ["METHODS", "Method", "TrainedModel"]

METHODS: dict[MethodName, Method] = {
    "full": full.Full(),
    "lora": lora.Lora(),
    "rslora": rslora.RankStabilized(),
    "dora": dora.Dora(),
    "lora_plus": lora_plus.LoraPlus(),
    "periodic_lora": periodic_lora.PeriodicLora(),
    "qlora": qlora.QLora(),
    "prompt_tuning": prompt_tuning.PromptTuning(),
    "p_tuning": p_tuning.PTuning(),
    "prefix_tuning": prefix_tuning.PrefixTuning(),
}
