"""What the data stage counts: for the manifest and for the tables of report and check."""

from collections import Counter
from collections.abc import Sequence

from jobs.data.gather import sources
from jobs.data.ledger import RULES, Entry, kept
from jobs.data.tokens import longest_answer
from jobs.lm.render import Renderer, common_prefix
from sftjobs.plan.configs import DataConfig, DataCounts, TaskCounts


def count(entries: Sequence[Entry], config: DataConfig, renderer: Renderer) -> DataCounts:
    """The manifest's counts."""
    train = kept(entries, "train")
    return DataCounts(
        records=len(entries),
        tasks=task_counts(entries, config),
        held_out=len(kept(entries, "held_out")),
        dropped=dropped(entries),
        labels=label_counts(train, config),
        max_example_tokens=max((entry.tokens or 0 for entry in train), default=0),
        common_prefix_tokens=shared_tokens(train),
        longest_answer_tokens=longest_answer(entries, list(config.prompt.labels), renderer),
        output_format=config.prompt.output.format,
    )


def task_counts(entries: Sequence[Entry], config: DataConfig) -> dict[str, TaskCounts]:
    """Training examples of each task, and of general data."""
    found = {}
    for task, _, side in sources(config):
        if side == "train":
            group = kept(entries, "train", task)
            tokens = sum(entry.tokens or 0 for entry in group)
            supervised = sum(entry.supervised or 0 for entry in group)
            found[task] = TaskCounts(examples=len(group), tokens=tokens, supervised_tokens=supervised)
    return found


def dropped(entries: Sequence[Entry]) -> dict[str, int]:
    """Rule -> examples that it dropped, in the order of the rules."""
    found = Counter(entry.rule for entry in entries)
    return {rule: found[rule] for rule in RULES if found[rule]}


def label_counts(entries: Sequence[Entry], config: DataConfig) -> dict[str, int]:
    """Label -> examples, with every label of the prompt; empty where the answer is not a label."""
    if config.prompt.output.format != "label":
        return {}
    found = Counter(entry.example.label for entry in entries)
    return {label: found[label] for label in config.ordered_prompt.labels}


def shared_tokens(entries: Sequence[Entry]) -> int:
    """Tokens that all entries share at their start."""
    return common_prefix([entry.ids for entry in entries if entry.ids is not None])
