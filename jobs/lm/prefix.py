"""Two ways to lay a micro batch out: one row per example, or one row for all that encodes their common prefix once.

Examples of a business task start with the same long prompt. With causal attention the hidden states of that prefix do
not depend on what follows, so `[prefix, rest_1, ..., rest_B]` as a single row gives the same loss and gradients as B
padded rows from P + sum(R_i) tokens instead of B * (P + max R_i). The mask lets a rest see the prefix and itself; its
position ids go on after the prefix. It is one ordinary forward call, so wrappers of the model need not know.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PretrainedConfig

from jobs.lm.render import IGNORE, common_prefix

PREFIX_ARCHITECTURES = frozenset(
    {"llama", "qwen2", "qwen3", "mistral", "gemma", "phi3", "olmo2", "granite", "smollm3", "starcoder2"}
)
"""Model types whose layers are all full causal attention with explicit position ids, if no window is set.

A list of what is known to be right, not of what fails: an unknown architecture gets padded batches.
"""


@dataclass(frozen=True)
class Sequences:
    """Token ids of the examples of one micro batch with their labels (unshifted, IGNORE where there is no loss)."""

    ids: Sequence[Sequence[int]]
    labels: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Batch:
    """One forward call and what is scored of it."""

    inputs: dict[str, Tensor]
    """Keyword arguments of the model."""
    positions: Tensor
    """Flattened positions whose next token is scored."""
    targets: Tensor
    """Those next tokens."""
    owners: Tensor
    """Index in the micro batch of the example that each target belongs to."""
    shared: bool
    """True for the layout with one common prefix."""
    encoded: int
    """Tokens of the forward call, padding included."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return replace(
            self,
            inputs={name: tensor.to(device) for name, tensor in self.inputs.items()},
            positions=self.positions.to(device),
            targets=self.targets.to(device),
            owners=self.owners.to(device),
        )


def supports_shared_prefix(config: PretrainedConfig) -> str | None:
    """None if the shared-prefix layout is exact for this model, else the reason why it is not used."""
    if config.model_type not in PREFIX_ARCHITECTURES:
        return f"architecture {config.model_type!r} is not known to have full causal attention in every layer"
    layers = set(getattr(config, "layer_types", None) or [])
    if layers - {"full_attention"}:
        return f"layers of type {', '.join(sorted(layers - {'full_attention'}))}"
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True):
        return f"sliding window of {window} tokens"
    if config._attn_implementation not in {"sdpa", "eager"}:
        return f"attention implementation {config._attn_implementation!r} takes no dense mask"
    return None


class Layouts:
    """Chooses, per micro batch, the layout with the fewer floating-point operations."""

    def __init__(self, config: PretrainedConfig, pad_id: int) -> None:
        self.reason = supports_shared_prefix(config)
        """Why the shared-prefix layout is never used; None if it may be."""
        self._pad_id = pad_id
        self._linear, self._quadratic = _costs(config)

    def lay_out(self, sequences: Sequences) -> Batch:
        """The micro batch as one forward call."""
        prefix = 0 if self.reason else usable_prefix(sequences)
        if prefix and self._shared_cost(sequences, prefix) < self._padded_cost(sequences):
            return shared_prefix_batch(sequences, prefix)
        return padded_batch(sequences, self._pad_id)

    def _shared_cost(self, sequences: Sequences, prefix: int) -> float:
        tokens = prefix + sum(len(ids) - prefix for ids in sequences.ids)
        return self._linear * tokens + self._quadratic * tokens**2

    def _padded_cost(self, sequences: Sequences) -> float:
        longest = max(len(ids) for ids in sequences.ids)
        return len(sequences.ids) * (self._linear * longest + self._quadratic * longest**2)


def _costs(config: PretrainedConfig) -> tuple[float, float]:
    """Floating-point operations of a layer's forward pass per token, and per pair of tokens.

    Linear: two per weight of the attention projections and the gated MLP. Quadratic: two matrix products (scores,
    weighted values) of two operations per hidden unit. The dense mask computes every pair.
    """
    hidden = config.hidden_size
    heads = config.num_attention_heads
    share = (getattr(config, "num_key_value_heads", None) or heads) / heads
    weights = hidden * hidden * (2 + 2 * share) + 3 * hidden * config.intermediate_size
    return 2.0 * weights, 4.0 * hidden


def usable_prefix(sequences: Sequences) -> int:
    """Length of the common prefix that may be encoded once; 0 for a single example.

    It ends before the position that predicts the first supervised token, so that each scored position has one owner.
    """
    if len(sequences.ids) < 2:
        return 0
    first = min(
        next((position for position, label in enumerate(labels) if label != IGNORE), len(labels))
        for labels in sequences.labels
    )
    return max(0, min(common_prefix(sequences.ids), first - 1))


def padded_batch(sequences: Sequences, pad_id: int) -> Batch:
    """One row per example, padded on the right."""
    length = max(len(ids) for ids in sequences.ids)
    rows = len(sequences.ids)
    input_ids = torch.full((rows, length), pad_id)
    attention = torch.zeros((rows, length), dtype=torch.long)
    scored = _Scored()
    for row, (ids, labels) in enumerate(zip(sequences.ids, sequences.labels, strict=True)):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        attention[row, : len(ids)] = 1
        scored.add(row, labels, first=1, shift=row * length - 1)
    return Batch(
        {"input_ids": input_ids, "attention_mask": attention}, *scored.tensors(), shared=False, encoded=rows * length
    )


def shared_prefix_batch(sequences: Sequences, prefix: int) -> Batch:
    """One row `[prefix, rest_1, ..., rest_B]` with position ids and a dense additive mask."""
    tokens = list(sequences.ids[0][:prefix])
    places = list(range(prefix))
    segments = [0] * prefix
    scored = _Scored()
    for number, (ids, labels) in enumerate(zip(sequences.ids, sequences.labels, strict=True)):
        scored.add(number, labels, first=prefix + 1, shift=len(tokens) - prefix - 1)
        tokens += ids[prefix:]
        places += range(prefix, len(ids))
        segments += [number + 1] * (len(ids) - prefix)
    inputs = {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([places]),
        "attention_mask": _segment_mask(torch.tensor(segments)),
    }
    return Batch(inputs, *scored.tensors(), shared=True, encoded=len(tokens))


def _segment_mask(segments: Tensor) -> Tensor:
    """[1, 1, n, n], 0 where a token may look and the lowest float where it may not. Segment 0 is the prefix."""
    n = len(segments)
    causal = torch.ones((n, n), dtype=torch.bool).tril_()
    visible = causal & ((segments[None, :] == segments[:, None]) | (segments[None, :] == 0))
    mask = torch.zeros((n, n)).masked_fill_(~visible, torch.finfo(torch.float32).min)
    return mask[None, None]


class _Scored:
    """Collects scored positions, their targets and owners."""

    def __init__(self) -> None:
        self._positions: list[int] = []
        self._targets: list[int] = []
        self._owners: list[int] = []

    def add(self, owner: int, labels: Sequence[int], first: int, shift: int) -> None:
        """Every label from index `first` on; the token at index t is predicted at flattened position t + shift."""
        for index in range(first, len(labels)):
            if labels[index] != IGNORE:
                self._positions.append(index + shift)
                self._targets.append(labels[index])
                self._owners.append(owner)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return (
            torch.tensor(self._positions, dtype=torch.long),
            torch.tensor(self._targets, dtype=torch.long),
            torch.tensor(self._owners, dtype=torch.long),
        )
