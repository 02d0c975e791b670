"""The second look at the examples that are left: token counts, and rules that need to know all the others first."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jobs.data.checks import LateChecks, view_of
from jobs.data.examples import question_text
from jobs.data.gather import Progress
from jobs.data.near import NGramIndex
from jobs.data.pool import Workers
from jobs.data.protected import Matches
from jobs.data.spool import Finding, Spool, decode
from jobs.data.table import SIDES, Array, Table
from jobs.lm.fit import fit
from jobs.lm.render import Renderer, load_tokenizer
from sftjobs.plan.configs import DataConfig

_BATCH = 1024
_MANY = 20_000
"""Examples from which more than one process is worth its start."""


@dataclass(frozen=True)
class Late:
    """What is only known when all records were read."""

    config: DataConfig
    model: Path | None
    """Folder of the tokenizer; None: count no tokens."""
    index: NGramIndex
    """Passages of what no training example may overlap."""
    dev_index: NGramIndex | None
    """Those of the dev set, for training examples only; None without dev set."""
    checks: LateChecks
    reference: Sequence[int] = ()
    """Token ids of one example, to tell what all share at their start."""

    def __call__(self) -> Callable[["Work"], "Measured"]:
        return _Measurer(self)


@dataclass(frozen=True)
class Work:
    """Examples to measure."""

    spool: Spool
    offsets: Array
    lengths: Array
    sides: Array
    """Of each."""


@dataclass
class Measured:
    """What was found, for examples in the order of `Work`."""

    tokens: Array
    supervised: Array
    removed_turns: Array
    shared: Array
    """Tokens that each has in common with `Late.reference` at its start."""
    matches: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Position -> (text of the index, passage)."""
    dev_matches: dict[int, tuple[int, str]] = field(default_factory=dict)
    found: list[tuple[int, Finding]] = field(default_factory=list)


class _Measurer:
    """The worker's side."""

    def __init__(self, late: Late) -> None:
        self._late = late
        self._renderer = None if late.model is None else Renderer(load_tokenizer(late.model))

    def __call__(self, work: Work) -> Measured:
        examples = [decode(line)[0] for line in work.spool.lines(work.offsets, work.lengths)]
        conversations = [example.messages for example in examples]
        measured = self._count(conversations)
        for i, example in enumerate(examples):
            self._match(measured, i, question_text(example), int(work.sides[i]))
            view = view_of(example, self._late.config.prompt.output.format)
            measured.found += [(i, finding) for finding in self._late.checks.findings(view)]
        return measured

    def _match(self, measured: Measured, i: int, asked: str, side: int) -> None:
        """Passages that are shared with what is held out, or by a training example with the dev set."""
        match = None if side == SIDES.index("held_out") else self._late.index.matches(asked)
        if match is not None:
            measured.matches[i] = match
        elif side == SIDES.index("train") and self._late.dev_index is not None:
            match = self._late.dev_index.matches(asked)
            if match is not None:
                measured.dev_matches[i] = match

    def _count(self, conversations: Sequence) -> Measured:  # type: ignore[type-arg]
        n = len(conversations)
        if self._renderer is None:
            unknown = np.full(n, -1, np.int32)
            return Measured(unknown, unknown.copy(), np.zeros(n, np.int16), np.zeros(n, np.int32))
        rendered = self._renderer.render(conversations)
        removed = np.zeros(n, np.int16)
        if self._late.config.overlength == "truncate":
            for i, one in enumerate(rendered):
                if len(one.ids) > self._late.config.max_tokens:
                    fitted = fit(conversations[i], self._renderer, self._late.config.max_tokens)
                    if fitted is not None:
                        rendered[i] = fitted.rendered
                        removed[i] = fitted.removed_turns
        ids = [one.ids for one in rendered]
        return Measured(
            np.array([len(one) for one in ids], np.int32),
            np.array([one.supervised_tokens for one in rendered], np.int32),
            removed,
            np.array(list(_shared(ids, list(self._late.reference))), np.int32),
        )


def _shared(ids: Sequence[list[int]], reference: list[int]) -> Iterator[int]:
    """Tokens that each sequence has in common with the reference at its start."""
    guess = 0  # mostly that of the one before
    for one in ids:
        length = guess if one[:guess] == reference[:guess] else 0
        most = min(len(one), len(reference))
        while length < most and one[length] == reference[length]:
            length += 1
        guess = length
        yield length


def measure(table: Table, rows: Array, late: Late, processes: int, progress: Progress) -> tuple[Matches, Matches]:
    """Count tokens of `rows` and apply the late rules; returns passages shared with the held-out and the dev set."""
    matches: dict[int, tuple[int, str]] = {}
    dev_matches: dict[int, tuple[int, str]] = {}
    done = 0
    workers: Workers[Work, Measured]
    with Workers(late, processes if len(rows) > _MANY else 1) as workers:
        for part, measured in zip(_parts(rows), workers.map(_works(table, rows)), strict=True):
            table.tokens[part] = measured.tokens
            table.supervised[part] = measured.supervised
            table.removed_turns[part] = measured.removed_turns
            table.shared[part] = measured.shared
            matches |= {int(part[i]): match for i, match in measured.matches.items()}
            dev_matches |= {int(part[i]): match for i, match in measured.dev_matches.items()}
            _apply(table, part, measured.found)
            done += len(part)
            progress("count tokens", done, len(rows))
    return matches, dev_matches


def _parts(rows: Array) -> Iterator[Array]:
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))


def _works(table: Table, rows: Array) -> Iterator[Work]:
    for part in _parts(rows):
        yield Work(table.spool, table["offset"][part], table["length"][part], table["side"][part])


def _apply(table: Table, part: Array, found: Sequence[tuple[int, Finding]]) -> None:
    for i, finding in found:
        row = part[i : i + 1]
        if table["decided"][row[0]]:
            continue  # a person's word counts more than a rule's
        if finding.dropped:
            table.drop(row, finding.rule)
        else:
            table.flag(row, finding.rule)
        table.note(int(row[0]), finding.rule, finding.reason)


def common_prefix(table: Table, rows: Array, renderer: Renderer) -> int:
    """Tokens that the examples `rows`, which were measured, share at their start."""
    if not len(rows):
        return 0
    shared = table.shared[rows]
    least = int(shared.min())
    if least < shared.max() or len(rows) == 1:
        return least if len(rows) > 1 else int(table.tokens[rows[0]])
    # All differ from the reference at the same token, so they may share more with each other.
    first = renderer.render([table.example(int(rows[0])).messages])[0].ids
    for start in range(0, len(rows), _BATCH):
        examples = [example.messages for example, _ in table.examples(rows[start : start + _BATCH])]
        least = min([len(first), *_shared([one.ids for one in renderer.render(examples)], first)])
        first = first[:least]
    return least


def drop_unusable(table: Table, max_tokens: int) -> None:
    """What is too long: half an answer teaches to stop in the middle. And what has nothing to learn."""
    counted = table.is_kept() & (table.tokens >= 0)
    table.drop(np.flatnonzero(counted & (table.tokens > max_tokens)), "too_long")
    table.drop(np.flatnonzero(counted & (table.supervised == 0)), "nothing_to_learn")
