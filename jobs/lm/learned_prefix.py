"""Keys and values of trained virtual tokens: the prefix that prompt learning puts before every prompt.

    prompt_tuning, p_tuning   embeddings of P virtual tokens; the model makes keys and values of them, once for all
    prefix_tuning             the keys and values of every layer themselves

For what follows they are one thing: a `Prefix` that is encoded already. Positions go on after it in both cases, as they
do in peft's forward pass.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from jobs.lm.prefix_attention import Prefix
from jobs.lm.unwrap import layers_of
from sftjobs.errors import DataError

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_NAME = "prompt_embeddings"
_KINDS = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")


@dataclass(frozen=True)
class VirtualTokens:
    """What an adapter of prompt learning holds."""

    kind: str
    """`peft_type` of peft's config: one of _KINDS."""
    values: Tensor
    """[P, hidden size], or of prefix tuning [P, layers x 2 x key heads x head size]: all keys and values of a token,
    layer by layer, a layer's keys before its values."""


def read_virtual_tokens(folder: Path) -> VirtualTokens:
    """Of an adapter in peft's format. Raises DataError if it is none of prompt learning."""
    kind = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("peft_type")
    if kind not in _KINDS:
        raise DataError(
            f"adapter {folder.name!r}: peft_type is {kind!r}, expected one of {', '.join(_KINDS)}: other adapters are "
            "merged into the model, which is evaluated then"
        )
    return VirtualTokens(kind, load_file(folder / ADAPTER_WEIGHTS)[_NAME])


@torch.inference_mode()
def learned_prefix(model: PreTrainedModel, tokens: VirtualTokens) -> Prefix:
    """Keys and values in `model`'s number format, on its device."""
    values = tokens.values.to(model.device, model.dtype)
    if tokens.kind == "PREFIX_TUNING":
        return _as_keys_and_values(model, values)
    cache = DynamicCache()
    model(inputs_embeds=values[None], past_key_values=cache, use_cache=True, logits_to_keep=1)
    return Prefix.of(cache, len(values))


def flattened(prefix: Prefix) -> Tensor:
    """The prefix as prefix tuning keeps it, [P, layers x 2 x key heads x head size]: `learned_prefix` backwards."""
    layers = zip(prefix.keys, prefix.values, strict=True)
    parts = torch.stack([torch.stack([keys[0], values[0]]) for keys, values in layers])
    return parts.permute(3, 0, 1, 2, 4).flatten(1)


def _as_keys_and_values(model: PreTrainedModel, values: Tensor) -> Prefix:
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    parts = values.view(len(values), config.num_hidden_layers, 2, heads, -1)
    by_layer = parts.permute(1, 2, 3, 0, 4)[:, :, None]  # [layers, 2, 1, key heads, P, head size]
    placed = [layer.to(device) for layer, device in zip(by_layer, _devices(model), strict=True)]
    return Prefix([layer[0] for layer in placed], [layer[1] for layer in placed], len(values))


def _devices(model: PreTrainedModel) -> list[torch.device]:
    """Where each layer computes: a model may be spread over several GPUs."""
    layers = layers_of(model)
    hooks = [getattr(layer, "_hf_hook", None) for layer in layers]
    found = [getattr(hook, "execution_device", None) for hook in hooks]
    return [model.device if device is None else torch.device(device) for device in found]
