"""The model that is trained: all weights, or a frozen base with an adapter."""

import warnings
from pathlib import Path

import torch
from peft import PeftModel
from torch import nn

from jobs.lm.load import load_model
from jobs.train.methods import METHODS, TrainedModel
from sftjobs.plan.configs import TrainConfig


def open_for_training(folder: Path, config: TrainConfig) -> TrainedModel:
    """The base model, with what the method adds to it. What is trained is float32 in every case.

    Updates smaller than the rounding of a 16-bit number would be lost. Frozen weights have no updates: with precision
    bfloat16 those below an adapter are bfloat16, which is how autocast uses them anyway, in half the memory.
    """
    method = METHODS[config.method]
    updated = config.method == "full" or method.changes_base
    frozen = torch.bfloat16 if config.precision == "bfloat16" and not updated else torch.float32
    model = method.prepare(method.load(folder, frozen, config), config)
    # Under ZeRO with precision bfloat16 it is the optimizer that holds them in float32, from its first moment on.
    sharded = config.zero is not None and config.zero.stage == 3
    assert sharded or all(value.dtype == torch.float32 for value in model.parameters() if value.requires_grad)
    return model


def in_float32(model: PeftModel, folder: Path) -> PeftModel:
    """The same model for merging: on the CPU, its frozen weights in float32 as the files of the base model hold them.

    An adapter is added to these numbers and the sum is rounded once, to the number format of the files. Nothing is done
    to a model that is float32 already.
    """
    base = model.get_base_model()
    frozen = {name: value for name, value in base.named_parameters() if not value.requires_grad}
    if all(value.dtype == torch.float32 for value in frozen.values()):
        return model
    model.to("cpu", torch.float32)
    exact = dict(load_model(folder).named_parameters())
    with torch.no_grad():
        for name, value in frozen.items():
            value.copy_(exact[name.replace(".base_layer.", ".")])
    return model


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Trainable parameters, and all parameters of the model with what was added to it."""
    sizes = [(_size(parameter), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trainable in sizes if trainable), sum(size for size, _ in sizes)


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all parameters; under ZeRO of the whole model, not of this rank's part."""
    return sum(
        int(getattr(value, "ds_numel", value.numel())) * value.element_size() + _state_bytes(value)
        for value in model.parameters()
    )


def _state_bytes(parameter: nn.Parameter) -> int:
    """What is needed to read weights of 4 bits: the scales of their blocks, quantised themselves, and tables."""
    state = getattr(parameter, "quant_state", None)
    if state is None:
        return 0
    tensors = [state.absmax, state.code]
    if state.nested:
        tensors += [state.state2.absmax, state.state2.code, state.offset]
    return sum(int(tensor.nbytes) for tensor in tensors)


def _size(parameter: nn.Parameter) -> int:
    """Of weights of 4 bits, two are one number in memory; of a weight under ZeRO, a rank may hold a part."""
    quantized = getattr(parameter, "quant_state", None)
    if quantized is not None:
        return int(quantized.shape.numel())
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def on_the_base(adapter: Path, base: Path) -> PeftModel:
    """The adapter in a folder on the base model as it is in its files, in float32."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        return PeftModel.from_pretrained(load_model(base), str(adapter))
