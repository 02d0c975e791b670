"""Pairs of low-rank matrices that training has put into the base model's weights, one set for each finished cycle.

    W_c = W_0 + s (B_1 A_1 + ... + B_c A_c)        float32, added in this order: equal pairs give equal bytes

What is saved of such a model are the pairs, never W_c: it is made again of the files of the base model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from jobs.lm.load import load_model

_PREFIX = "cycle-"
Pairs = dict[str, Tensor]
"""Name of a matrix in the model -> its values, for all layers."""


@dataclass
class Cycles:
    """Of one model; its attribute `cycles`."""

    base: Path
    """Folder of the base model."""
    finished: list[Pairs] = field(default_factory=list)


def cycles_of(model: nn.Module) -> Cycles | None:
    """None for a model whose base weights never change."""
    found = getattr(model, "cycles", None)
    assert found is None or isinstance(found, Cycles)
    return found


def unload(model: PeftModel) -> None:
    """End a cycle: put the adapter into the frozen weights. It stays: the caller makes it anew, as no change."""
    cycles = cycles_of(model)
    assert cycles is not None
    cycles.finished.append({name: value.detach().cpu().clone() for name, value in adapter_of(model).items()})
    _add(model)


def adapter_of(model: nn.Module) -> Pairs:
    """The matrices in training."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def layers_of(model: nn.Module) -> Iterator[LoraLayer]:
    """Layers with an adapter."""
    return (module for module in model.modules() if isinstance(module, LoraLayer))


def finished_pairs(model: nn.Module) -> dict[str, Tensor]:
    """All pairs of finished cycles under names that tell the cycles apart; empty for another model."""
    cycles = cycles_of(model)
    finished = [] if cycles is None else cycles.finished
    return {
        f"{_PREFIX}{number}.{name}": value
        for number, pairs in enumerate(finished, start=1)
        for name, value in pairs.items()
    }


def split_pairs(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[Pairs]]:
    """What is in training and the pairs of finished cycles, of a state that holds both."""
    current = {name: value for name, value in state.items() if not name.startswith(_PREFIX)}
    finished: list[Pairs] = []
    while found := _of_cycle(state, len(finished) + 1):
        finished.append(found)
    return current, finished


def _of_cycle(state: Mapping[str, Tensor], number: int) -> Pairs:
    start = f"{_PREFIX}{number}."
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}


@torch.no_grad()
def put_pairs(finished: list[Pairs], model: nn.Module) -> None:
    """Make the frozen weights those after the given cycles, which are the first ones of this training or all so far."""
    cycles = cycles_of(model)
    if cycles is None or len(finished) == len(cycles.finished):
        return
    assert isinstance(model, PeftModel)
    exact = dict(load_model(cycles.base).named_parameters())
    for name, value in model.get_base_model().named_parameters():
        if not value.requires_grad:
            value.copy_(exact[name.replace(".base_layer.", ".")])
    matrices = adapter_of(model)
    now = {name: value.detach().clone() for name, value in matrices.items()}
    for pairs in finished:
        for name, value in matrices.items():
            value.copy_(pairs[name])
        _add(model)
    for name, value in matrices.items():
        value.copy_(now[name])
    cycles.finished = finished


@torch.no_grad()
def _add(model: nn.Module) -> None:
    for layer in layers_of(model):
        weight = layer.get_base_layer().weight
        assert weight.dtype == torch.float32, "a 16-bit number would lose most of the sum"
        weight += layer.get_delta_weight("default")


def save_whole_adapter(model: PeftModel, folder: Path) -> None:
    """All cycles as one adapter in peft's format: of c pairs of rank r one of rank c r, with the same factor."""
    cycles = cycles_of(model)
    assert cycles is not None
    parts = [*cycles.finished, adapter_of(model)]
    settings = model.peft_config["default"]
    assert isinstance(settings, LoraConfig)
    count = len(parts)
    whole = replace(settings, r=count * settings.r, lora_alpha=count * settings.lora_alpha, inference_mode=True)
    folder.mkdir(parents=True, exist_ok=True)
    whole.save_pretrained(str(folder))
    by_name = get_peft_model_state_dict(model, save_embedding_layers=False)
    state = {
        name: torch.cat([pairs[_in_model(name)].cpu() for pairs in parts], 0 if ".lora_A." in name else 1).contiguous()
        for name in by_name
    }
    save_file(state, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _in_model(name: str) -> str:
    """The name of a matrix in the model, of that in an adapter's file."""
    return name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")
