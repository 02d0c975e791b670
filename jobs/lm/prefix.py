"""Chooses how the examples of a micro batch are laid out (jobs/lm/layout.py), and finds the prefix that they share."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from transformers import PretrainedConfig

from jobs.lm.architectures import supports_one_row, supports_packing, windows
from jobs.lm.layout import Batch, Sequences, packed_batch, padded_batch, rows_batch
from jobs.lm.layout_cost import cheapest_rows, cost_of
from jobs.lm.render import IGNORE, common_prefix
from sftjobs.errors import DataError
from sftjobs.spec.train import AttentionName


@dataclass(frozen=True)
class VirtualRows:
    """Every row starts with virtual tokens that the model puts there: an example cannot share a row with another."""

    positions: int
    """Of a row's hidden states that belong to virtual tokens; 0 if these are keys and values only."""
    reason: ClassVar[str] = "virtual tokens stand at the start of each row"


class Layouts:
    """Chooses, per micro batch, the layout with the fewest floating-point operations."""

    def __init__(
        self,
        config: PretrainedConfig,
        pad_id: int,
        packing: bool | Literal["if_possible"] = False,
        virtual: VirtualRows | None = None,
        attention: AttentionName | None = None,
    ) -> None:
        """`packing` asks for the packed layout always. Raises DataError if it is true and wrong for the model.

        `attention`: what will compute it; None: what the model was opened with.
        """
        self.reason = supports_one_row(config, attention) if virtual is None else virtual.reason
        """Why examples are never laid out in common rows, with their prefix encoded once; None if they may be."""
        refused = (self.reason if virtual else supports_packing(config)) if packing else None
        if refused and packing is True:
            raise DataError(f"train.packing: true: {refused}; examples would see each other. Leave packing out")
        self._packing = bool(packing) and not refused
        self._blocks = attention == "flex"
        self._pad_id = pad_id
        self._before = 0 if virtual is None else virtual.positions
        self._windows = {} if self.reason else windows(config)
        self._cost = None if self.reason else cost_of(config)

    def lay_out(self, sequences: Sequences) -> Batch:
        """The micro batch as one forward call."""
        if self._packing:
            return packed_batch(sequences)
        if self._cost is not None:
            prefix = usable_prefix(sequences)
            if self._blocks:  # pairs that nothing may look at cost nothing, so one row is the cheapest
                return rows_batch(sequences, prefix, self._windows, pad_id=self._pad_id, blocks=True)
            rows = cheapest_rows([len(ids) for ids in sequences.ids], prefix, self._cost)
            if rows is not None:
                return rows_batch(sequences, prefix, self._windows, rows, self._pad_id)
        return padded_batch(sequences, self._pad_id, self._before)


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
