"""QLoRA (Dettmers et al. 2023, arXiv 2305.14314)."""

import importlib.util
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer
from transformers import BitsAndBytesConfig, PreTrainedModel

from jobs.lm.load import load_model
from jobs.train.methods.base import TrainedModel
from jobs.train.methods.low_rank import LowRank
from sftjobs.errors import DataError
from sftjobs.plan.configs import TrainConfig


class QLora(LowRank):
    """LoRA over linear layers whose frozen weights are in memory as NF4: 4 bits each, one of 16 quantiles of a normal
    distribution times the largest weight of its block of 64, and these largest ones in 8 bits (double quantisation).

    Each product dequantises its weights first. What is exported is the update on the base model as it is in its files.
    """

    def load(self, folder: Path, dtype: torch.dtype, config: TrainConfig) -> PreTrainedModel:
        if importlib.util.find_spec("bitsandbytes") is None:
            raise DataError(
                "train.method: qlora needs the library bitsandbytes, which is not installed where the training runs: "
                "pip install 'sftjobs[train]', or in a cluster use the train image; or use method lora"
            )
        settings = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
        device = "cpu" if config.device == "cpu" else torch.cuda.current_device()
        model = load_model(folder, dtype, quantization_config=settings, device_map={"": device})
        for module in quantized_layers(model):
            # Without gradients the layer would change its weights into another layout, for a kernel in bfloat16.
            module.support_avx512bf16_for_cpu = False
        return model

    def optimizer(self, model: TrainedModel, config: TrainConfig) -> Optimizer | None:
        """The paged AdamW of section 3 of the paper on a GPU: its state may move to the host when memory runs short."""
        if config.optimizer is None:
            return None
        from bitsandbytes.optim import PagedAdamW32bit

        trained = [value for value in model.parameters() if value.requires_grad]
        made: Optimizer = PagedAdamW32bit(
            trained, lr=config.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=config.weight_decay
        )
        return made


def quantized_layers(model: nn.Module) -> list[nn.Linear]:
    """Layers with weights of 4 bits."""
    return [
        module
        for module in model.modules()
        # An adapter around such a layer shows the same weights, but is no linear layer itself.
        if isinstance(module, nn.Linear) and hasattr(module.weight, "quant_state")
    ]
