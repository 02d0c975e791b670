"""Metrics of answers against the expected ones.

metrics = load(config.metrics, program.input_file)
line = predict(fields, expected, text, parse, metrics)      jobs.answers.predict: one line of predictions.jsonl
metric.value(lines)                                         the value over all lines
"""

from jobs.answers.metrics.base import Answered, Kind, Line, Metric, NotScored, Value
from jobs.answers.metrics.registry import BUILT_IN, load, score

__all__ = ["BUILT_IN", "Answered", "Kind", "Line", "Metric", "NotScored", "Value", "load", "score"]
