"""How the examples of one micro batch become one forward call.

padded   one row per example, padded on the right
row      one row for all: `[prefix, rest_1, ..., rest_B]` with a dense mask; the prefix may be empty
packed   one row for all without a mask: attention finds the examples by position ids that restart

With causal attention the hidden states of a common prefix do not depend on what follows, so a row needs
P + sum(R_i) tokens where padding needs B * (P + max R_i). A rest sees the prefix and itself; its position ids go on
after the prefix. Loss and gradients are the same in all three (with dropout: in expectation; the prefix then has one
noise for all). Each is one ordinary forward call, so wrappers of the model need not know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from jobs.lm.render import IGNORE

FULL_ATTENTION: Mapping[str, int | None] = {"full_attention": None}


@dataclass(frozen=True)
class Sequences:
    """Token ids of the examples of one micro batch with their labels (unshifted, IGNORE where there is no loss)."""

    ids: Sequence[Sequence[int]]
    labels: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Batch:
    """One forward call and what is scored of it."""

    inputs: dict[str, Tensor | dict[str, Tensor]]
    """Keyword arguments of the model; `use_cache=False` has to be given with them."""
    positions: Tensor
    """Flattened positions whose next token is scored."""
    targets: Tensor
    """Those next tokens."""
    owners: Tensor
    """Index in the micro batch of the example that each target belongs to."""
    layout: Literal["padded", "row", "packed"]
    prefix: int
    """Tokens of the common prefix that is encoded once; 0 if there is none."""
    encoded: int
    """Tokens of the forward call, padding included."""

    @property
    def shared(self) -> bool:
        """True if a common prefix is encoded once."""
        return self.prefix > 0

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return replace(
            self,
            inputs={name: _moved(value, device) for name, value in self.inputs.items()},
            positions=self.positions.to(device),
            targets=self.targets.to(device),
            owners=self.owners.to(device),
        )


def _moved(value: Tensor | dict[str, Tensor], device: torch.device) -> Tensor | dict[str, Tensor]:
    if isinstance(value, dict):
        return {name: tensor.to(device) for name, tensor in value.items()}
    return value.to(device)


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
        {"input_ids": input_ids, "attention_mask": attention},
        *scored.tensors(),
        layout="padded",
        prefix=0,
        encoded=rows * length,
    )


def row_batch(sequences: Sequences, prefix: int = 0, windows: Mapping[str, int | None] = FULL_ATTENTION) -> Batch:
    """One row `[prefix, rest_1, ..., rest_B]` with position ids and a dense additive mask.

    `windows` are those of the model's kinds of layers (`jobs.lm.architectures.windows`). A window is measured by
    position, as it is in a row of its own; one that is as long as the longest example never cuts anything.
    """
    tokens, places, segments, scored = _in_one_row(sequences, prefix)
    position_ids = torch.tensor(places)
    visible = _visible(torch.tensor(segments))
    longest = max(places) + 1
    cutting = {kind: None if window is None or window >= longest else window for kind, window in windows.items()}
    masks = {
        window: _additive(visible if window is None else visible & _inside(position_ids, window))
        for window in set(cutting.values())
    }
    # Models with one kind of layer take a mask, those with several take one for each kind, or one for all.
    mask = next(iter(masks.values())) if len(masks) == 1 else {kind: masks[cutting[kind]] for kind in cutting}
    inputs = {"input_ids": torch.tensor([tokens]), "position_ids": position_ids[None], "attention_mask": mask}
    return Batch(inputs, *scored.tensors(), layout="row", prefix=prefix, encoded=len(tokens))


def packed_batch(sequences: Sequences) -> Batch:
    """One row `[example_1, ..., example_B]` with position ids that restart and no mask.

    Attention kernels for sequences of unequal length take the ends from the position ids; `sdpa` and `eager` of
    transformers make a block-diagonal mask of them. Both only if no mask is given and no cache is made: with a mask of
    ones, or with `use_cache=True` (the default), every example would see those before it.
    """
    tokens, places, _, scored = _in_one_row(sequences, 0)
    inputs: dict[str, Tensor | dict[str, Tensor]] = {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([places]),
    }
    return Batch(inputs, *scored.tensors(), layout="packed", prefix=0, encoded=len(tokens))


def _in_one_row(sequences: Sequences, prefix: int) -> tuple[list[int], list[int], list[int], "_Scored"]:
    """Tokens, position ids and segments (0 for the prefix, from 1 for the rests) of one row, and what is scored."""
    tokens = list(sequences.ids[0][:prefix])
    places = list(range(prefix))
    segments = [0] * prefix
    scored = _Scored()
    for number, (ids, labels) in enumerate(zip(sequences.ids, sequences.labels, strict=True)):
        scored.add(number, labels, first=prefix + 1, shift=len(tokens) - prefix - 1)
        tokens += ids[prefix:]
        places += range(prefix, len(ids))
        segments += [number + 1] * (len(ids) - prefix)
    return tokens, places, segments, scored


def _visible(segments: Tensor) -> Tensor:
    """[n, n], whether the token of a row may look at that of a column."""
    causal = torch.ones((len(segments), len(segments)), dtype=torch.bool).tril_()
    return causal & ((segments[None, :] == segments[:, None]) | (segments[None, :] == 0))


def _inside(positions: Tensor, window: int) -> Tensor:
    """[n, n], whether a token is less than `window` positions before another."""
    return positions[:, None] - positions[None, :] < window


def _additive(visible: Tensor) -> Tensor:
    """[1, 1, n, n], 0 where a token may look and the lowest float where it may not."""
    return torch.zeros(visible.shape).masked_fill_(~visible, torch.finfo(torch.float32).min)[None, None]


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
