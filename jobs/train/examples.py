"""The training examples as token ids and labels."""

import json
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.lm.render import IGNORE, Renderer
from sftjobs.errors import DataError

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


def read_training_set(path: Path, renderer: Renderer, max_tokens: int) -> TrainingSet:
    """The examples of a `train.jsonl` that the data stage wrote, rendered.

    Raises DataError if there are none, or if one is longer than `max_tokens` tokens or has no token to learn.
    """
    examples = _read(path)
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
                f"{path.name}: example {example['id']} has {len(ids)} tokens, data.max_tokens is {max_tokens}: "
                "prepare the data with the model that is trained"
            )
        if not count:
            raise DataError(f"{path.name}: example {example['id']} has no token with loss: its answer is empty")
    return TrainingSet(
        example_ids=[str(example["id"]) for example in examples],
        tasks=[str(example["task"]) for example in examples],
        token_ids=token_ids,
        labels=labels,
        lengths=[len(ids) for ids in token_ids],
        supervised=supervised,
    )


def _read(path: Path) -> list[dict[str, Any]]:
    examples = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                example = json.loads(line)
                examples.append({name: example[name] for name in ("id", "task", "messages")})
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise DataError(f"{path.name}:{number}: not an example of the data stage: {error!r}") from error
    if not examples:
        raise DataError(f"{path.name}: no training examples: the data stage kept none")
    return examples
