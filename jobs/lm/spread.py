"""A model that is too large for one GPU over several: whole layers, in their order, by accelerate's hooks.

Which GPU has which layer follows from the sizes of model and GPUs, never from what is free at the moment.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from accelerate import infer_auto_device_map, init_empty_weights
from accelerate.utils import get_balanced_memory
from transformers import AutoConfig, AutoModelForCausalLM

from sftjobs.advice.gpus import USABLE
from sftjobs.errors import DataError

GIB = 2**30
Placed = dict[str, int]
"""Part of the model, by name, -> number of the GPU that has it: a `device_map` of `from_pretrained`."""


def usable_memory(gpus: int) -> dict[int, int]:
    """Bytes for weights of each of the first `gpus` GPUs; a tenth is for what is computed."""
    return {number: int(USABLE * torch.cuda.get_device_properties(number).total_memory) for number in range(gpus)}


def spread(folder: Path, dtype: torch.dtype, memory: Mapping[int, int]) -> Placed:
    """The layers of the model in `folder`, evenly over the GPUs with so many bytes each.

    Raises DataError if they do not fit.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    with init_empty_weights():
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.tie_weights()
    whole = sorted(model._no_split_modules or [])
    balanced = get_balanced_memory(model, dict(memory), no_split_module_classes=whole, dtype=dtype)
    placed = infer_auto_device_map(model, balanced, no_split_module_classes=whole, dtype=dtype)
    if any(not isinstance(where, int) for where in placed.values()):
        size = sum(value.numel() for value in model.parameters()) * dtype.itemsize
        there = " + ".join(f"{size / GIB:.1f}" for size in memory.values())
        raise DataError(
            f"model folder {folder.name!r}: its layers need {size / GIB:.1f} GiB and do not fit {there} GiB: give "
            "resources.eval.gpus_per_node more GPUs, or larger ones, or use eval.engine with a server"
        )
    return placed
