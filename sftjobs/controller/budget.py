"""GPU hours of a run over all its attempts, against the ceiling of cluster.yaml. Pure."""

from collections.abc import Iterator, Mapping

from sftjobs.controller.observed import StageView
from sftjobs.plan.types import Resources


def over_budget(
    stages: Mapping[str, StageView], begun: Mapping[tuple[str, int], float], ceiling: float | None, now: float
) -> str:
    """What to say once the ceiling is reached; empty while it is not, or if there is none. `begun` as in Observed."""
    if ceiling is None:
        return ""
    used = sum(_hours(stages, begun, now))
    if used < ceiling:
        return ""
    return f"{used:.2f} GPU hours are used, gpu_hours of cluster.yaml is {ceiling:g}: raise it and try again"


def _hours(stages: Mapping[str, StageView], begun: Mapping[tuple[str, int], float], now: float) -> Iterator[float]:
    for name, view in stages.items():
        for attempt in view.attempts:
            result = attempt.result
            started = result.started if result is not None else begun.get((name, attempt.number))
            if started is not None:
                ended = result.finished if result is not None else now
                yield _gpus(attempt.intent.plan.resources) * max(0.0, ended - started) / 3600


def _gpus(resources: Resources) -> int:
    return resources.nodes * resources.gpus_per_node
