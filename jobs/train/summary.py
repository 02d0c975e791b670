"""What a training says about itself: counts for the manifest and a section for the report."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from time import monotonic
from typing import Any, TypeVar

from jobs.lm.prefix import Layouts
from jobs.train.checkpoint import Point
from jobs.train.edge import StepEdge
from jobs.train.examples import TrainingSet
from sftjobs.plan.configs import TrainConfig
from sftjobs.plan.mixture import mixture_table
from sftjobs.plan.sampler import Mixture, Order
from sftjobs.program import Program

One = TypeVar("One")
CURVE_POINTS = 500
FINAL_STEPS = 10
"""The final loss is the mean over so many last steps: one step is too noisy."""


class Stopwatch:
    """Wall seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = monotonic()
        yield
        self.seconds[phase] = round(monotonic() - start, 2)


def counts(
    examples: TrainingSet, order: Order, edge: StepEdge, parameters: tuple[int, int], template_hash: str
) -> dict[str, Any]:
    """`counts` of the manifest; the same for a resumed training as for an undisturbed one."""
    seen = list(chain.from_iterable(order.batch(step) for step in range(edge.step)))
    kept = [look for look in edge.looks if look.step == edge.kept_step]
    return {
        "steps": edge.step,
        "kept_step": edge.kept_step,
        "dev_loss": kept[0].loss if kept else None,
        "examples_seen": len(seen),
        "supervised_tokens": sum(examples.supervised[index] for index in seen),
        "trainable_parameters": parameters[0],
        "total_parameters": parameters[1],
        "final_loss": final_loss(edge.history),
        "template_hash": template_hash,
    }


def final_loss(history: Sequence[Point]) -> float:
    """Mean loss of the last steps, nats per supervised token."""
    last = history[-FINAL_STEPS:]
    return sum(point.loss for point in last) / len(last)


def report(
    program: Program,
    config: TrainConfig,
    counted: dict[str, Any],
    examples: TrainingSet,
    edge: StepEdge,
    layouts: Layouts,
    watch: Stopwatch,
) -> dict[str, Any]:
    """The section of the report that is named as the stage. Figures on layout are those of rank 0 in this attempt."""
    return {
        "summary": program.plan.summary,
        "reasons": program.plan.reasons,
        "method": config.method,
        "lora": config.lora.model_dump() if config.lora else None,
        "prompt_learning": config.prompt_learning.model_dump() if config.prompt_learning else None,
        "learning_rate": config.learning_rate,
        "schedule": config.schedule,
        "precision": config.precision,
        "zero": config.zero.model_dump() if config.zero else None,
        "micro_batch_size": config.micro_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "world_size": config.world_size,
        "counts": counted,
        "kept_step": edge.kept_step,
        "kept_because": edge.keeper.why(edge.looks, edge.step),
        "dev": dev_section(config, edge),
        "mixture": mixture_table(
            examples.tasks, examples.lengths, examples.supervised, Mixture.of(config.mixture), config.seed
        ),
        "curve": [point.model_dump() for point in thinned(edge.history)],
        "layout": {
            "shared_prefix_refused": layouts.reason,
            "micro_batches": edge.micro_batches,
            "shared_prefix": edge.shared_batches,
            "encoded_tokens": edge.encoded,
            "padded_tokens": edge.padded,
        },
        "seconds": watch.seconds,
    }


def dev_section(config: TrainConfig, edge: StepEdge) -> dict[str, Any] | None:
    """What the looks at the dev set saw; None without a dev set."""
    if config.dev is None:
        return None
    return {
        "metric": config.dev.metric.name if config.dev.metric else None,
        "every_steps": config.dev.every_steps,
        "patience": config.dev.patience,
        "looks": [{"step": look.step, "loss": look.loss, "score": look.score} for look in thinned(edge.looks)],
        "stopped_early": {"at": edge.step, "of": config.steps, "patience": config.dev.patience}
        if edge.stopped_early
        else None,
        "seconds": round(edge.look_seconds, 2),
    }


def thinned(history: Sequence[One], most: int = CURVE_POINTS) -> list[One]:
    """At most `most` of the history, evenly spread, the first and the last among them."""
    if len(history) <= most:
        return list(history)
    last = len(history) - 1
    return [history[round(place * last / (most - 1))] for place in range(most)]
