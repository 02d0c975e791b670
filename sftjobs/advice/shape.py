"""The sizes of a decoder, from its config.json: what parameters, memory and operations follow from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Linear = tuple[int, int]
"""Inputs and outputs of a linear layer."""
TWO_MATRICES = frozenset({"gpt2", "gpt_neox", "phi", "starcoder2"})
"""Model types whose MLP has two matrices; that of the others is gated and has three. jobs/lm/layout_cost.py has them as
well: what is here changes no result."""
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_NAMES = {
    "layers": ("num_hidden_layers", "n_layer"),
    "hidden": ("hidden_size", "n_embd"),
    "heads": ("num_attention_heads", "n_head"),
    "vocabulary": ("vocab_size",),
}


@dataclass(frozen=True)
class ModelShape:
    """A dense decoder: attention and an MLP in each layer."""

    layers: int
    hidden: int
    heads: int
    """Of queries."""
    kv_heads: int
    """Of keys and values."""
    head_size: int
    inner: int
    """Width of the MLP."""
    vocabulary: int
    tied: bool
    """Whether the head is the embedding matrix."""
    gated: bool = True
    """Whether the MLP has three matrices."""
    head_norms: bool = False
    """Whether queries and keys are normalised."""
    experts: int = 1
    """MLPs of a layer that tokens are sent to. With more than one, only widths are what they say: `inner` is that of
    the experts of one token, and parameters are not known."""
    counted: int | None = None
    """Parameters of the model, where it has been opened; None: they follow from the sizes."""

    @property
    def query_width(self) -> int:
        """Numbers of a token's queries in a layer."""
        return self.heads * self.head_size

    @property
    def kv_width(self) -> int:
        """Numbers of a token's keys in a layer; its values have as many."""
        return self.kv_heads * self.head_size

    def linears(self, target: Literal["all-linear", "attention"] = "all-linear") -> list[Linear]:
        """The linear layers of one layer that `train.lora.target` means."""
        hidden, wide = self.hidden, self.query_width
        attention = [(hidden, wide), (hidden, self.kv_width), (hidden, self.kv_width), (wide, hidden)]
        if target == "attention":
            return attention
        return [*attention, *[(hidden, self.inner)] * (2 if self.gated else 1), (self.inner, hidden)]

    @property
    def linear_parameters(self) -> int:
        """Weights of the linear layers, without the head; biases are too few to count."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linears())

    @property
    def embedding(self) -> int:
        """Parameters of the embedding matrix; an untied head has as many."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters, without biases if not counted. Raises ValueError for a mixture of experts not counted."""
        if self.counted is not None:
            return self.counted
        if self.experts > 1:
            raise ValueError(f"a mixture of {self.experts} experts: its parameters do not follow from its sizes")
        norms = self.hidden * (2 * self.layers + 1)
        return self.linear_parameters + norms + self.embedding * (1 if self.tied else 2)

    @staticmethod
    def in_folder(folder: Path) -> "ModelShape":
        """Of the model in a folder, with all parameters known. Raises OSError or ValueError if they are not."""
        shape = ModelShape.of(json.loads((folder / "config.json").read_text("utf-8")))
        _ = shape.parameters
        return shape

    @staticmethod
    def of(config: Mapping[str, Any]) -> "ModelShape":
        """From the content of a config.json. Raises ValueError if a size is missing."""
        text = config.get("text_config")
        if isinstance(text, Mapping):
            config = {**config, **text}
        sizes = {name: _number(config, places) for name, places in _NAMES.items()}
        experts = next((config[name] for name in _EXPERTS if config.get(name)), 1)
        inner = config.get("intermediate_size") or config.get("n_inner") or 4 * sizes["hidden"]
        if experts > 1:  # a token goes through some of the experts only
            inner = (config.get("num_experts_per_tok") or 1) * (config.get("moe_intermediate_size") or inner)
        return ModelShape(
            **sizes,
            kv_heads=config.get("num_key_value_heads") or sizes["heads"],
            head_size=config.get("head_dim") or sizes["hidden"] // sizes["heads"],
            inner=inner,
            tied=bool(config.get("tie_word_embeddings", config.get("model_type") in _TIED)),
            gated=config.get("model_type") not in TWO_MATRICES,
            head_norms=config.get("model_type") in _HEAD_NORMS,
            experts=experts,
        )


_HEAD_NORMS = frozenset({"gemma3_text", "olmo2", "qwen3", "qwen3_moe"})
_TIED = frozenset({"gemma", "gemma2", "gemma3_text", "gpt2", "cohere"})
"""Model types that tie if config.json does not say."""


def _number(config: Mapping[str, Any], places: tuple[str, ...]) -> int:
    value = next((config[place] for place in places if config.get(place)), None)
    if not isinstance(value, int):
        raise ValueError(f"config.json has no {places[0]}")
    return value
