"""Answers to dev examples while training, and their score: what `by: metric` chooses the best weights by."""

from collections.abc import Callable, Sequence
from typing import Any

import torch.distributed as dist
from transformers import PreTrainedModel

from jobs.answers.check import check
from jobs.answers.metrics import load
from jobs.answers.parse import parser
from jobs.answers.predict import predict
from jobs.answers.prompt import read_prompt
from jobs.lm.generate import generate
from jobs.lm.prefix_attention import Prefix
from jobs.lm.render import Renderer
from sftjobs.errors import DataError
from sftjobs.plan.configs import DevConfig, MetricConfig
from sftjobs.program import Program

Told = list[tuple[int, str, bool]]
"""Number of the example, what the model said, and whether it came to an end."""


class Answering:
    """Generates this rank's share of the answers; every rank scores them all."""

    def __init__(
        self,
        program: Program,
        dev: DevConfig,
        metric: MetricConfig,
        examples: Sequence[dict[str, Any]],
        renderer: Renderer,
        in_step: bool,
    ) -> None:
        """`in_step`: all ranks have to run the model equally often, so each makes all answers.

        Raises DataError if the prompt, an expected answer or the metric cannot be used: before any training."""
        prompt = read_prompt(program.input("data") / "prompt.json")
        self._program = program
        self._dev = dev
        self._renderer = renderer
        self._ranks = 1 if in_step else program.world_size
        self._examples = examples
        self._parse = parser(prompt)
        self._metrics = load([metric], program.input_file)
        self.metric = self._metrics[0]
        if self.metric.needs_loss:
            raise DataError(f"train.dev.by: metric {metric.name} needs no answers; set train.dev.by: loss")
        check(self._metrics, prompt, self._parse, [(one, _expected(one)) for one in examples], "dev")
        self._prompts = renderer.prompts([example["messages"] for example in examples])

    def score(self, model: PreTrainedModel, before: Prefix | None, on_progress: Callable[[int], None]) -> float | None:
        """Value of the metric over all examples; None if no answer could be scored. Raises Stopped.

        `before`: trained virtual tokens that stand before every prompt.
        """
        ranks = self._ranks
        mine = range(self._program.rank % ranks, len(self._prompts), ranks)
        generation = generate(
            model,
            [self._prompts[index] for index in mine],
            stop_ids=self._renderer.stop_ids,
            max_new_tokens=self._dev.max_new_tokens,
            batch_size=self._program.plan.operation.batch_size,
            before=before,
            on_progress=lambda done: on_progress(done * ranks),
            # One of several ranks must not leave: the others would wait for its answers.
            stop_requested=lambda: self._program.world_size == 1 and self._program.stop_requested,
        )
        texts = generation.texts(self._renderer.tokenizer)
        ended = [answer.ended for answer in generation.answers]
        told = self._gathered(list(zip(mine, texts, ended, strict=True)))
        examples = self._examples
        lines = [
            predict(examples[index], _expected(examples[index]), text, self._parse, self._metrics, ended=end)
            for index, text, end in told
        ]
        return self.metric.value(lines)

    def _gathered(self, told: Told) -> Told:
        """The answers of all ranks, by example."""
        if self._ranks == 1:
            return told
        parts: list[Told] = [[] for _ in range(self._ranks)]
        dist.all_gather_object(parts, told)
        return sorted(one for part in parts for one in part)


def _expected(example: dict[str, Any]) -> str:
    return str(example["messages"][-1]["content"])
