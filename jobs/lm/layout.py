"""How the examples of one micro batch become one forward call.

padded   one row per example, padded on the right
rows     one row or a few: `[prefix, rest_1, ..., rest_n]` with a dense mask; the prefix may be empty
packed   one row for all without a mask: attention finds the examples by position ids that restart

With causal attention the hidden states of a common prefix do not depend on what follows, so one row needs
P + sum(R_i) tokens where padding needs B * (P + max R_i). A rest sees the prefix and itself; its position ids go on
after the prefix. A dense mask computes every pair of a row, so several shorter rows can be cheaper than one. Loss and
gradients are the same in all layouts (with dropout: in expectation; a prefix then has one noise for all of its row).
Each is one ordinary forward call, so wrappers of the model need not know.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from jobs.lm.block_mask import BLOCK, BlockRule
from jobs.lm.masks import additive
from jobs.lm.render import IGNORE

FULL_ATTENTION: Mapping[str, int | None] = {"full_attention": None}


@dataclass(frozen=True)
class Sequences:
    """Token ids of the examples of one micro batch with their labels (unshifted, IGNORE where there is no loss)."""

    ids: Sequence[Sequence[int]]
    labels: Sequence[Sequence[int]]


Mask = Tensor | BlockRule
Input = Mask | dict[str, Mask]
"""A dict holds a mask for each kind of layer."""


@dataclass(frozen=True)
class Batch:
    """One forward call and what is scored of it."""

    inputs: dict[str, Input]
    """Keyword arguments of the model, once they are on its device; `use_cache=False` has to be given with them."""
    positions: Tensor
    """Flattened positions whose next token is scored."""
    targets: Tensor
    """Those next tokens."""
    owners: Tensor
    """Index in the micro batch of the example that each target belongs to."""
    layout: Literal["padded", "rows", "packed"]
    prefix: int
    """Tokens of the common prefix that is encoded once in each row; 0 if there is none."""
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


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        return {name: one.to(device) for name, one in value.items()}
    return value.to(device)


def padded_batch(sequences: Sequences, pad_id: int, before: int = 0) -> Batch:
    """One row per example, padded on the right. The model itself puts `before` positions at the start of each row."""
    length = max(len(ids) for ids in sequences.ids)
    rows = len(sequences.ids)
    input_ids = torch.full((rows, length), pad_id)
    attention = torch.zeros((rows, length), dtype=torch.long)
    scored = _Scored()
    for row, (ids, labels) in enumerate(zip(sequences.ids, sequences.labels, strict=True)):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        attention[row, : len(ids)] = 1
        scored.add(row, labels, first=1, shift=row * (length + before) + before - 1)
    return Batch(
        {"input_ids": input_ids, "attention_mask": attention},
        *scored.tensors(),
        layout="padded",
        prefix=0,
        encoded=rows * (length + before),
    )


def rows_batch(
    sequences: Sequences,
    prefix: int = 0,
    windows: Mapping[str, int | None] = FULL_ATTENTION,
    rows: Sequence[Sequence[int]] | None = None,
    pad_id: int = 0,
    blocks: bool = False,
) -> Batch:
    """Rows `[prefix, rest, rest, ...]` with position ids and a dense additive mask, or with `blocks` a BlockRule.

    `rows` holds the numbers of the examples of each row; None: all in one. `windows` are those of the model's kinds of
    layers (`jobs.lm.architectures.windows`). A window is measured by position, as it is in a row of its own; one that
    is as long as the longest example never cuts anything.
    """
    rows = [range(len(sequences.ids))] if rows is None else rows
    made = [_Row(sequences, prefix, members) for members in rows]
    length = max(len(row.tokens) for row in made)
    if blocks:
        length = -(-length // BLOCK) * BLOCK
    scored = _Scored()
    for number, row in enumerate(made):
        row.pad(length, pad_id)
        for owner, start in row.starts.items():
            # the token at index t of an example is at t - prefix + start, and is predicted one place before
            scored.add(owner, sequences.labels[owner], first=prefix + 1, shift=number * length + start - prefix - 1)
    position_ids = torch.tensor([row.places for row in made])
    segments = torch.tensor([row.segments for row in made])
    inputs: dict[str, Input] = {
        "input_ids": torch.tensor([row.tokens for row in made]),
        "position_ids": position_ids,
        "attention_mask": _masks(segments, position_ids, windows, _block_rule if blocks else _dense),
    }
    return Batch(inputs, *scored.tensors(), layout="rows", prefix=prefix, encoded=len(made) * length)


def packed_batch(sequences: Sequences) -> Batch:
    """One row `[example_1, ..., example_B]` with position ids that restart and no mask.

    Attention kernels for sequences of unequal length take the ends from the position ids; `sdpa` and `eager` of
    transformers make a block-diagonal mask of them. Both only if no mask is given and no cache is made: with a mask of
    ones, or with `use_cache=True` (the default), every example would see those before it.
    """
    row = _Row(sequences, 0, range(len(sequences.ids)))
    scored = _Scored()
    for owner, start in row.starts.items():
        scored.add(owner, sequences.labels[owner], first=1, shift=start - 1)
    inputs: dict[str, Input] = {
        "input_ids": torch.tensor([row.tokens]),
        "position_ids": torch.tensor([row.places]),
    }
    return Batch(inputs, *scored.tensors(), layout="packed", prefix=0, encoded=len(row.tokens))


class _Row:
    """Tokens, position ids and segments of `[prefix, rest, rest, ...]`."""

    def __init__(self, sequences: Sequences, prefix: int, members: Sequence[int]) -> None:
        self.tokens = list(sequences.ids[members[0]][:prefix])
        self.places = list(range(prefix))
        self.segments = [_PREFIX] * prefix
        self.starts: dict[int, int] = {}
        """Number of an example -> where its rest starts."""
        for segment, member in enumerate(members, start=_PREFIX + 1):
            rest = sequences.ids[member][prefix:]
            self.starts[member] = len(self.tokens)
            self.tokens += rest
            self.places += range(prefix, prefix + len(rest))
            self.segments += [segment] * len(rest)

    def pad(self, length: int, pad_id: int) -> None:
        """Fill up with tokens that nothing looks at; they look at themselves, as each token has to look somewhere."""
        more = length - len(self.tokens)
        self.tokens += [pad_id] * more
        self.places += [0] * more
        self.segments += [_PADDING] * more


_PADDING, _PREFIX = -1, 0


def _masks(
    segments: Tensor,
    positions: Tensor,
    windows: Mapping[str, int | None],
    make: Callable[[Tensor, Tensor, int | None], Mask],
) -> Input:
    """Masks of segments and positions [rows, n]: one, or one for each kind of layer."""
    longest = int(positions.max()) + 1
    cutting = {kind: None if window is None or window >= longest else window for kind, window in windows.items()}
    masks = {window: make(segments, positions, window) for window in set(cutting.values())}
    # A model with one kind of layer takes a mask, one with several takes one for each kind, or one for all.
    return next(iter(masks.values())) if len(masks) == 1 else {kind: masks[cutting[kind]] for kind in cutting}


def _dense(segments: Tensor, positions: Tensor, window: int | None) -> Tensor:
    """[rows, 1, n, n], added to attention scores."""
    visible = _visible(segments)
    return additive((visible if window is None else visible & _inside(positions, window))[:, None], torch.float32)


def _block_rule(segments: Tensor, positions: Tensor, window: int | None) -> BlockRule:
    return BlockRule(segments, positions, window, padding=_PADDING, prefix=_PREFIX)


def _visible(segments: Tensor) -> Tensor:
    """[rows, n, n], whether the token of a row of it may look at that of a column."""
    length = segments.shape[1]
    causal = torch.ones((length, length), dtype=torch.bool).tril_()
    same = segments[:, None, :] == segments[:, :, None]
    on_prefix = (segments[:, None, :] == _PREFIX) & (segments[:, :, None] != _PADDING)
    return causal & (same | on_prefix)


def _inside(positions: Tensor, window: int) -> Tensor:
    """[rows, n, n], whether a token is less than `window` positions before another."""
    return positions[:, :, None] - positions[:, None, :] < window


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
