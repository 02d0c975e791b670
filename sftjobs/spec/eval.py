"""The part of run.yaml about evaluation: metrics, baselines, how answers are made."""

from typing import Annotated, Literal

from pydantic import Field

from sftjobs.model import Document
from sftjobs.spec.numbers import Auto, Positive

MetricName = Literal[
    "accuracy", "macro_f1", "exact_match", "format", "json_f1", "numeric", "rouge_l", "chrf", "loss"
]  # fmt: skip
Baseline = Literal["likelihood", "few_shot", "classic"]
_PLACES = (("{model}", "it would serve some other model"), ("{port}", "nobody would know where it listens"))


class UserMetric(Document):
    """A metric of your own: a function `score(expected: str, answer: str, example: dict) -> float` of 0 to 1."""

    file: str
    """Python file with the function; it may import what the stage image has."""
    function: str = "score"
    """Name of the function."""
    name: str | None = None
    """Name in tables; default the function's."""


class ServerSpec(Document):
    """An OpenAI-compatible server that evaluation starts beside itself, e.g. vLLM."""

    command: Annotated[list[str], Field(min_length=1)]
    """Program and arguments. `{model}` is the folder of the model, `{port}` the port to listen on, on 127.0.0.1."""
    start_s: Positive = 600
    """Seconds that the server may take until it answers."""
    concurrency: Positive = 32
    """Requests at a time."""

    def fault(self) -> str | None:
        """What the command does not name, and what would happen; None if it can be a server's."""
        whole = " ".join(self.command)
        missing = ((place, why) for place, why in _PLACES if place not in whole)
        return next(
            (f"{whole!r} has no {place}: {why}; write {place} where it belongs" for place, why in missing), None
        )


class EvalSpec(Document):
    """How models are compared."""

    metrics: Auto | Annotated[list[MetricName | UserMetric], Field(min_length=1)] = "auto"
    """`auto`: accuracy for labels, exact match otherwise. The first one decides the verdict (docs/metrics.md)."""
    baselines: Auto | list[Baseline] = "auto"
    """What else the tuned model has to beat. `likelihood`: the base model's most likely label; `few_shot`: the base
    model with training examples in its prompt; `classic`: TF-IDF and logistic regression. `auto`: all three for
    labels, otherwise `few_shot`; `[]`: none."""
    shots: Positive = 4
    """Training examples in the prompt of baseline `few_shot`."""
    compare_to: str | None = None
    """Name or id of an earlier run: its tuned model is evaluated on the same held-out set."""
    max_new_tokens: Auto | Positive = "auto"
    """`auto`: the longest expected answer in the held-out set (or longest label) + 8 tokens."""
    temperature: Annotated[float, Field(ge=0, le=5)] = 0.0
    """0: always the most likely token. Else tokens are drawn, by the seed."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Draw from the most likely tokens that make up this probability; only with a temperature."""
    engine: Literal["transformers"] | ServerSpec = "transformers"
    """What makes the answers: this library, or a server that is started for it."""
    batch_size: Positive = 16
    """Examples per generation batch. Not part of the stage key."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Level of the intervals."""
