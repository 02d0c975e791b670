"""Token sequences by their common beginnings, laid out as one row in which a token sees its own way from the root."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Trie:
    """Answers to one prompt. Column 0 is the end of the prompt, column i + 1 is node i."""

    answers: list[int]
    """Which of the sequences are in it."""
    tokens: list[int]
    """Token of each node; a parent stands before its children. The last token of a sequence needs no node."""
    depths: list[int]
    """0 for the first token after the prompt."""
    visible: Tensor
    """[nodes, nodes] bool: a node sees the nodes on its way from the root, and itself."""
    columns: Tensor
    """Where each token of each sequence is predicted, one sequence after another."""
    targets: Tensor
    """Those tokens."""
    owners: Tensor
    """Index in `answers` of the sequence that each token belongs to."""


def tries(sequences: Sequence[Sequence[int]], max_nodes: int) -> list[Trie]:
    """As few tries as hold all sequences with at most `max_nodes` nodes each; a longer sequence is one of its own.

    They are filled in the order of their tokens, so that what begins alike stays together.
    """
    parts: list[list[int]] = []
    nodes: set[tuple[int, ...]] = set()
    for index in sorted(range(len(sequences)), key=lambda index: tuple(sequences[index])):
        ids = tuple(sequences[index])
        nodes |= {ids[:end] for end in range(1, len(ids))}
        if not parts or len(nodes) > max_nodes:
            parts.append([])
            nodes = {ids[:end] for end in range(1, len(ids))}
        parts[-1].append(index)
    return [_trie(sequences, part) for part in parts]


def _trie(sequences: Sequence[Sequence[int]], chosen: list[int]) -> Trie:
    nodes: dict[tuple[int, ...], int] = {}
    columns: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    for owner, index in enumerate(chosen):
        ids = tuple(sequences[index])
        for end, token in enumerate(ids):
            columns.append(nodes.setdefault(ids[:end], len(nodes)) + 1 if end else 0)
            targets.append(token)
            owners.append(owner)
    visible = torch.zeros((len(nodes), len(nodes)), dtype=torch.bool)
    for way, node in nodes.items():
        for end in range(1, len(way) + 1):
            visible[node, nodes[way[:end]]] = True
    return Trie(
        answers=chosen,
        tokens=[way[-1] for way in nodes],
        depths=[len(way) - 1 for way in nodes],
        visible=visible,
        columns=torch.tensor(columns),
        targets=torch.tensor(targets),
        owners=torch.tensor(owners),
    )
