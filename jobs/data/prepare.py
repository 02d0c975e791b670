"""From entries as they were read to the two sets: each step may only drop an entry, by a rule with a name."""

from collections import Counter
from collections.abc import Sequence

from jobs.data.dedup import drop_duplicates
from jobs.data.gather import GENERAL, Progress
from jobs.data.ledger import RULES, Entry, Side, kept
from jobs.data.select import apply_limits, select
from jobs.data.split import exclude_held_out, set_aside
from jobs.data.tokens import count_tokens, drop_too_long
from jobs.lm.render import Renderer
from sftjobs.errors import DataError
from sftjobs.plan.configs import DataConfig

_WAYS_OUT = {
    "duplicate": "the records repeat each other",
    "in_held_out": "the training data asks what the held-out set asks: give other held-out data",
    "too_long": "raise data.max_tokens or shorten the prompt",
    "held_out_max": "raise data.held_out.max_examples",
    "max_examples": "raise max_examples of the task",
    "not_selected": "raise data.select.keep",
}


def split(entries: Sequence[Entry], config: DataConfig) -> None:
    """Exact duplicates, the held-out side, and no held-out question among the training examples."""
    drop_duplicates(entries)
    if config.held_out_fraction is not None:
        set_aside(entries, config.held_out_fraction, config.seed)
    exclude_held_out(entries)


def measure(entries: Sequence[Entry], config: DataConfig, renderer: Renderer, progress: Progress) -> None:
    """Count tokens and drop what is too long, before the limits, so that these are filled with what can be used."""
    count_tokens(kept(entries), renderer, progress)
    drop_too_long(entries, config.max_tokens)


def reduce(entries: Sequence[Entry], config: DataConfig) -> None:
    """Limits, then selection."""
    apply_limits(entries, config)
    if config.select is not None:
        select(entries, config.select, config.seed)


def empty_sides(entries: Sequence[Entry]) -> list[str]:
    """Why there is nothing to train on, or nothing to evaluate on; empty if there is both."""
    sides: list[tuple[Side, str]] = [("train", "training"), ("held_out", "held-out")]
    tasks = [entry for entry in entries if entry.example.task != GENERAL]  # general data is mixed in by what it joins
    return [_why_empty(tasks, side, name) for side, name in sides if not kept(tasks, side)]


def stop_if_empty(entries: Sequence[Entry]) -> None:
    """Raises DataError that names the rules which dropped everything."""
    reasons = empty_sides(entries)
    if reasons:
        raise DataError("\n".join(reasons))


def _why_empty(entries: Sequence[Entry], side: Side, name: str) -> str:
    dropped = Counter(entry.rule for entry in entries if entry.side == side)
    if not dropped:
        return f"no {name} examples: of {len(entries):,} records none came to this side; change data.held_out"
    rules = [f"{rule} {dropped[rule]:,} ({_WAYS_OUT[rule]})" for rule in RULES if dropped[rule]]
    return f"no {name} examples are left of {sum(dropped.values()):,}: {', '.join(rules)}"
