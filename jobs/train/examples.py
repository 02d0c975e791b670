"""The training examples as token ids and labels."""

import json
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.lm.render import IGNORE, Renderer
from sftjobs.errors import DataError
from sftjobs.plan.sampler import Mixture

_BATCH = 1024


@dataclass(frozen=True)
class TrainingSet:
    """Parallel lists over the training examples, in the order of the file."""

    example_ids: list[str]
    tasks: list[str]
    token_ids: "list[array[int]]"
    """32 bits per token: lists of Python's numbers would take ten times as much for 100,000 examples."""
    labels: "list[array[int]]"
    """Unshifted; -100 where there is no loss."""
    lengths: list[int]
    supervised: list[int]
    """Tokens with loss of each example."""


def read_training_set(path: Path, renderer: Renderer, max_tokens: int, mixture: Mixture | None = None) -> TrainingSet:
    """The examples of a `train.jsonl` that the data stage wrote, rendered; with `mixture` those that it draws from.

    Raises DataError if they cannot be used.
    """
    examples = read_examples(path)
    if mixture is not None:
        examples = [examples[index] for index in mixture.drawn_from([one["task"] for one in examples])]
        if not examples:
            raise DataError(f"{path.name}: the data stage kept no example of {', '.join(sorted(mixture.epochs))}")
    return rendered(path.name, examples, renderer, max_tokens)


def rendered(name: str, examples: list[dict[str, Any]], renderer: Renderer, max_tokens: int) -> TrainingSet:
    """`examples` of the file `name` as token ids and labels.

    Raises DataError if one is longer than `max_tokens` tokens or has no token to learn.
    """
    token_ids: list[array[int]] = []
    labels: list[array[int]] = []
    for start in range(0, len(examples), _BATCH):
        for one in renderer.render([example["messages"] for example in examples[start : start + _BATCH]]):
            token_ids.append(array("i", one.ids))
            labels.append(array("i", one.labels))
    supervised = [sum(label != IGNORE for label in row[1:]) for row in labels]
    for example, ids, count in zip(examples, token_ids, supervised, strict=True):
        if len(ids) > max_tokens:
            raise DataError(
                f"{name}: example {example['id']} has {len(ids)} tokens, data.max_tokens is {max_tokens}: "
                "prepare the data with the model that is trained"
            )
        if not count:
            raise DataError(f"{name}: example {example['id']} has no token with loss: its answer is empty")
    return TrainingSet(
        example_ids=[str(example["id"]) for example in examples],
        tasks=[str(example["task"]) for example in examples],
        token_ids=token_ids,
        labels=labels,
        lengths=[len(ids) for ids in token_ids],
        supervised=supervised,
    )


def read_examples(path: Path, whole: bool = False) -> list[dict[str, Any]]:
    """Id, task and messages of each line, or the `whole` of it. Raises DataError naming the line, or without any."""
    examples = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    example = json.loads(line)
                    needed = {name: example[name] for name in ("id", "task", "messages")}
                    examples.append({**example, **needed} if whole else needed)
                except (json.JSONDecodeError, KeyError, TypeError) as error:
                    raise DataError(f"{path.name}:{number}: not an example of the data stage: {error!r}") from error
    except FileNotFoundError:
        raise DataError(f"{path.name}: the data stage left no such file; run it again") from None
    if not examples:
        raise DataError(f"{path.name}: no examples: the data stage kept none")
    return examples
