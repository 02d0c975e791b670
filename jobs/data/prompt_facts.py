"""What the prompt lint has to know of the data (sftjobs/lint/facts.py), counted on the table."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from jobs.data.counts import flagged
from jobs.data.examples import Example
from jobs.data.rules import CODES
from jobs.data.table import Array, Table
from jobs.data.uniformity import UniformityCounter
from jobs.lm.render import Renderer
from sftjobs.lint.delimiters import CollisionCounter
from sftjobs.lint.facts import Collision, Facts
from sftjobs.plan.configs import DataConfig
from sftjobs.spec.prompt import StyleSpec
from sftjobs.spec.template import placeholders

_LOOKED_AT = 2000


def prompt_facts(
    table: Table, config: DataConfig, tokens: Mapping[str, Any] | None, renderer: Renderer | None
) -> Facts:
    """Counts over the training examples of the tasks that are kept; texts are looked at in at most 2,000 of them."""
    rows = table.kept("train")
    some = rows[:: max(1, -(-len(rows) // _LOOKED_AT))]
    examples = [example for example, _ in table.examples(some)]
    marked = flagged(table)
    malformed = np.flatnonzero(table["rule"] == CODES["answer_format"])
    return Facts(
        examples=len(rows),
        labels=_labels(table, rows),
        difficulties=table.count(rows, "difficulty", table.difficulties),
        collisions=_collisions(examples, config, len(rows)),
        malformed_answers=len(malformed) + marked.get("answer_format", 0),
        longest_answer_characters=int(table["answer_characters"][rows].max()) if len(rows) else None,
        longest_answer_words=max((len(example.answer.split()) for example in examples), default=None),
        constant_tokens=None if tokens is None else tokens["common_prefix_tokens"],
        longest_prompt_tokens=_longest_prompt(table, rows),
        context_tokens=None if tokens is None else config.max_tokens,
        answer_tokens=int(table.supervised[rows].max()) if len(rows) and tokens is not None else None,
        special_tokens=() if renderer is None else tuple(sorted(map(str, renderer.tokenizer.all_special_tokens))),
        role_token_examples=int((table["rule"] == CODES["role_tokens"]).sum()) + marked.get("role_tokens", 0),
        template_hash=None if renderer is None else renderer.template_hash,
        style_follows=_follows(config, marked, len(rows)),
        style_reasons=_not_uniform(examples, config),
    )


def _not_uniform(examples: list[Example], config: DataConfig) -> tuple[str, ...]:
    """In what free answers differ, where no style is declared."""
    if config.prompt.style != StyleSpec() or config.prompt.output.format != "free":
        return ()
    counter = UniformityCounter()
    for example in examples:
        counter.add(example.answer, "\n".join(example.inputs) or None)
    return tuple(counter.result().reasons)


def _labels(table: Table, rows: Array) -> dict[str, int]:
    found = table.count(rows, "label", table.labels)
    return found if any(found.values()) else {}


def _collisions(examples: list[Example], config: DataConfig, number: int) -> tuple[Collision, ...]:
    """Scaled from the examples that were looked at to all `number`."""
    counter = CollisionCounter(config.prompt)
    names = sorted(placeholders(config.prompt.input))
    for example in examples:
        if example.inputs:
            counter.look(dict(zip(names, example.inputs, strict=True)), example.source.line)
    return tuple(replace(one, examples=one.examples * number // len(examples)) for one in counter.found())


def _longest_prompt(table: Table, rows: Array) -> int | None:
    counted = rows[table.tokens[rows] >= 0]
    return int((table.tokens[counted] - table.supervised[counted]).max()) if len(counted) else None


def _follows(config: DataConfig, marked: Mapping[str, int], number: int) -> float | None:
    if config.prompt.style == StyleSpec() or config.clean.style == "off" or not number:
        return None
    return 1 - Counter(marked)["style"] / number
