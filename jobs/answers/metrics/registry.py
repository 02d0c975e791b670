"""The metrics that `eval.metrics` can name, and those of the user's own."""

from collections.abc import Callable, Sequence
from pathlib import Path

from jobs.answers.metrics.base import Answered, Metric, NotScored, Value
from jobs.answers.metrics.classes import macro_f1
from jobs.answers.metrics.exact import accuracy, exact_match, in_format
from jobs.answers.metrics.fields import json_f1
from jobs.answers.metrics.numeric import numeric
from jobs.answers.metrics.overlap import chrf, rouge_l
from jobs.answers.metrics.user import user_metric
from sftjobs.errors import DataError
from sftjobs.plan.configs import MetricConfig


def loss(one: Answered) -> Value:
    """Mean loss per token of the expected answer (nats), the token that ends it included."""
    return NotScored("the loss of this model was not computed") if one.loss is None else one.loss


BUILT_IN: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "binary", accuracy),
        Metric("macro_f1", "set", accuracy, formats=("label",), of_set=macro_f1),
        Metric("exact_match", "binary", exact_match),
        Metric("format", "binary", in_format),
        Metric("json_f1", "mean", json_f1, formats=("json",)),
        Metric("numeric", "binary", numeric),
        Metric("rouge_l", "mean", rouge_l),
        Metric("chrf", "mean", chrf),
        Metric("loss", "mean", loss, lower_is_better=True, bounded=False, needs_loss=True),
    )
}


def load(configs: Sequence[MetricConfig], file_of: Callable[[str], Path]) -> list[Metric]:
    """The metrics of a config. `file_of`: name of an input -> its file (`Program.input_file`).

    Raises DataError if a metric is not known, is there twice, or its file cannot be used.
    """
    metrics = [_load(config, file_of) for config in configs]
    names = [metric.name for metric in metrics]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"eval.metrics: {name!r} is there twice; give one of them another `name:`")
    return metrics


def _load(config: MetricConfig, file_of: Callable[[str], Path]) -> Metric:
    if config.input is not None:
        return user_metric(config.name, file_of(config.input), config.function or "score")
    if config.name not in BUILT_IN:
        raise DataError(f"eval.metrics: there is no metric {config.name!r}; there are {', '.join(BUILT_IN)}")
    return BUILT_IN[config.name]


def score(metrics: Sequence[Metric], one: Answered) -> tuple[dict[str, bool | float | None], dict[str, str]]:
    """Scores of one answer by name of the metric, and for each that is None why it could not be computed."""
    values = {metric.name: metric.score(one) for metric in metrics}
    notes = {name: value.reason for name, value in values.items() if isinstance(value, NotScored)}
    return {name: None if isinstance(value, NotScored) else value for name, value in values.items()}, notes
