"""Rules about `eval` in run.yaml."""

from collections.abc import Iterator
from typing import get_args

from sftjobs.errors import Problem
from sftjobs.spec.eval import MetricName
from sftjobs.spec.source import Written

Problems = Iterator[Problem]
_METRIC_FORMATS = {"accuracy": ("label",), "macro_f1": ("label",), "json_f1": ("json",)}
_OUTPUTS = {"label": "labels", "json": "answers in JSON"}


def problems(written: Written) -> Problems:
    """Everything that the rules find."""
    for rule in (metrics, baselines, engine, sampling, compare_to):
        yield from rule(written)


def metrics(written: Written) -> Problems:
    """Each metric once, and only where it can say something."""
    wanted = written.spec.eval.metrics
    if wanted == "auto":
        return
    where = ("eval", "metrics")
    names_ = [one if isinstance(one, str) else one.name or one.function for one in wanted]
    twice = sorted({name for name in names_ if names_.count(name) > 1})
    if twice:
        yield written.run.problem(where, f"metric {twice[0]} is listed twice; list each once")
    own = {name for name, one in zip(names_, wanted, strict=True) if not isinstance(one, str)}
    for name in sorted(own & set(get_args(MetricName))):
        yield written.run.problem(where, f"'{name}' is a metric that is built in; give yours another name")
    form = written.output_format
    for name in [one for one in wanted if isinstance(one, str)]:
        formats = _METRIC_FORMATS.get(name)
        if formats is not None and form is not None and form not in formats:
            message = f"{name} is for {_OUTPUTS[formats[0]]}, but output.format of the prompt is {form}"
            yield written.run.problem(where, f"{message}; use exact_match")
    if "loss" in wanted and not isinstance(written.spec.eval.engine, str):
        yield written.run.problem(where, "loss needs eval.engine: transformers; a server does not give it")


def baselines(written: Written) -> Problems:
    """Labels for those that choose one; training examples for the prompt."""
    wanted = written.spec.eval.baselines
    form = written.output_format
    for name in () if wanted == "auto" else wanted:
        if name in ("likelihood", "classic") and form not in (None, "label"):
            message = f"{name} chooses among labels, but output.format of the prompt is {form}; remove it"
            yield written.run.problem(("eval", "baselines"), message)
    if wanted != "auto" and len(set(wanted)) < len(wanted):
        yield written.run.problem(("eval", "baselines"), "a baseline is listed twice; list each once")


def engine(written: Written) -> Problems:
    """A server has to be told what to serve, and where."""
    server = written.spec.eval.engine
    fault = None if isinstance(server, str) else server.fault()
    if fault is not None:
        yield written.run.problem(("eval", "engine", "command"), fault)


def sampling(written: Written) -> Problems:
    """No setting without effect."""
    if written.spec.eval.temperature == 0 and written.spec.eval.top_p < 1:
        message = "has no effect with temperature 0: the most likely token is taken; remove it, or set a temperature"
        yield written.run.problem(("eval", "top_p"), message)


def compare_to(written: Written) -> Problems:
    """Another run."""
    if written.spec.eval.compare_to == written.spec.name:
        message = "this is the run itself; name an earlier run (`sftjobs ls` lists them) or remove the key"
        yield written.run.problem(("eval", "compare_to"), message)
