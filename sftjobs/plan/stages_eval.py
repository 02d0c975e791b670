"""The stages that evaluate and compare, and the metrics that they and the looks at the dev set use."""

from typing import Any

from sftjobs.plan.configs import MetricConfig
from sftjobs.plan.parts import operation, resources
from sftjobs.plan.types import PreviousRun, StageInput, StageNode
from sftjobs.spec.eval import Baseline, UserMetric
from sftjobs.spec.input_places import metric_input
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import RunSpec
from sftjobs.spec.train import PROMPT_LEARNING

BASELINES = "baselines"
"""Name of the stage that answers with each of `eval.baselines`."""


def metrics(spec: RunSpec) -> list[dict[str, Any]]:
    """What each metric of `eval.metrics` is (MetricConfig); the first one decides."""
    prompt = spec.prompt
    assert isinstance(prompt, PromptSpec)
    if spec.eval.metrics == "auto":
        name = "accuracy" if prompt.output.format == "label" else "exact_match"
        return [MetricConfig(name=name).model_dump()]
    return [_metric(index, one).model_dump() for index, one in enumerate(spec.eval.metrics)]


def _metric(index: int, one: str | UserMetric) -> MetricConfig:
    if isinstance(one, str):
        return MetricConfig(name=one)
    return MetricConfig(name=one.name or one.function, input=metric_input(index), function=one.function)


def metric_inputs(wanted: list[dict[str, Any]]) -> dict[str, StageInput]:
    return {one["input"]: StageInput(external=one["input"]) for one in wanted if one["input"] is not None}


def baselines(spec: RunSpec) -> list[Baseline]:
    """What the tuned model has to beat, besides its base."""
    wanted = spec.eval.baselines
    if wanted != "auto":
        return list(wanted)
    assert isinstance(spec.prompt, PromptSpec)
    return ["likelihood", "few_shot", "classic"] if spec.prompt.output.format == "label" else ["few_shot"]


def _decoding(spec: RunSpec) -> dict[str, Any]:
    """DecodingConfig, but that `max_new_tokens` may still be `auto`."""
    eval_ = spec.eval
    server = None if eval_.engine == "transformers" else eval_.engine.model_dump()
    found = {name: getattr(eval_, name) for name in ("max_new_tokens", "temperature", "top_p")}
    return {**found, "seed": spec.seed, "server": server}


def eval_stage(
    spec: RunSpec, name: str, model: StageInput, more_inputs: dict[str, StageInput] | None = None
) -> StageNode:
    wanted = metrics(spec)
    return StageNode(
        name=name,
        kind="eval",
        program="jobs.eval",
        config={"metrics": wanted, "decoding": _decoding(spec), "seed": spec.seed},
        inputs={
            "model": model,
            "data": StageInput(stage="data", include=["held_out.jsonl", "prompt.json"]),
            **metric_inputs(wanted),
            **(more_inputs or {}),
        },
        resources=resources(spec.resources.eval, ranks=False),
        operation=operation(spec, batch_size=spec.eval.batch_size),
    )


def tuned_stage(spec: RunSpec, name: str, model: StageInput, train: str) -> StageNode:
    """Evaluates what the stage `train` leaves: a model, or an adapter that is used with the base model `model`."""
    if spec.train.method in PROMPT_LEARNING:
        return eval_stage(spec, name, model, {"adapter": StageInput(stage=train, folder="adapter")})
    return eval_stage(spec, name, StageInput(stage=train, folder="model"))


def previous_stage(spec: RunSpec, model: StageInput, previous: PreviousRun) -> StageNode:
    """It is told what that model was trained on: nothing of it may be held out here."""
    trained_on = StageInput(artifact=previous.data, include=["train.jsonl"])
    more = {} if previous.data is None else {"trained_on": trained_on}
    if previous.adapter:
        more["adapter"] = StageInput(artifact=previous.model, folder="adapter")
        return eval_stage(spec, "eval-previous", model, more)
    return eval_stage(spec, "eval-previous", StageInput(artifact=previous.model, folder="model"), more)


def baselines_stage(spec: RunSpec, model: StageInput) -> StageNode:
    stage = eval_stage(spec, BASELINES, model)
    data = StageInput(stage="data", include=["train.jsonl", "held_out.jsonl", "prompt.json"])
    return stage.model_copy(
        update={
            "program": "jobs.eval.baselines",
            "config": {**stage.config, "baselines": baselines(spec), "shots": spec.eval.shots},
            "inputs": {**stage.inputs, "data": data},
        }
    )


def compare_stage(spec: RunSpec, compared: dict[str, str]) -> StageNode:
    config = {"metric": metrics(spec)[0]["name"], "confidence": spec.eval.confidence, "seed": spec.seed}
    if len(spec.train.multi_task.plans) > 1:
        config["plans"] = spec.train.multi_task.plans
    data = StageInput(stage="data", include=["train.jsonl"])
    return StageNode(
        name="compare",
        kind="eval",
        program="jobs.eval.compare",
        config=config,
        inputs={**{role: StageInput(stage=stage) for role, stage in compared.items()}, "data": data},
        resources=resources(spec.resources.eval, ranks=False),
        operation=operation(spec),
    )
