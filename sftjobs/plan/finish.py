"""`finish`: a planned stage and the manifests of its inputs -> the stage plan, with every value decided. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sftjobs.plan.configs import (
    BaselinesConfig,
    CompareConfig,
    DataCounts,
    DecodingConfig,
    EvalConfig,
    MetricConfig,
)
from sftjobs.plan.decide_train import decide_train, max_new_tokens
from sftjobs.plan.key import key_json, stage_key
from sftjobs.plan.types import ArtifactRef, FinishedInput, Manifest, RunPlan, StageInput, StageNode, StagePlan

BOOTSTRAP_DRAWS = 10_000

Inputs = Mapping[str, tuple[ArtifactRef, Manifest]]
"""By name of the stage that made the artifact."""


@dataclass
class Decided:
    """A finished config with the reasons for what was `auto`, and the printed arithmetic."""

    config: dict[str, Any]
    reasons: dict[str, str] = field(default_factory=dict)
    summary: str = ""


def finish(plan: RunPlan, stage: str, inputs: Inputs) -> StagePlan:
    """Decide everything about one stage. `inputs` must hold every stage that this one needs (KeyError otherwise)."""
    node = plan.stage(stage)
    decided = _DECIDE[node.program](node, inputs)
    finished = {name: _finished(plan, item, inputs) for name, item in node.inputs.items()}
    identity = key_json(node.kind, node.program, decided.config, finished, plan.facts)
    return StagePlan(
        run=plan.name,
        stage=node.name,
        kind=node.kind,
        program=node.program,
        key=stage_key(identity),
        key_json=identity,
        config=decided.config,
        inputs=finished,
        resources=node.resources,
        operation=node.operation,
        reasons=decided.reasons,
        summary=decided.summary,
    )


def ready(node: StageNode, inputs: Inputs) -> bool:
    """True if every stage that `node` needs is in `inputs`."""
    return all(item.stage is None or item.stage in inputs for item in node.inputs.values())


def _finished(plan: RunPlan, item: StageInput, inputs: Inputs) -> FinishedInput:
    if item.external is not None:
        return FinishedInput(external=plan.facts.externals[item.external], folder=item.folder, include=item.include)
    artifact = item.artifact if item.stage is None else inputs[item.stage][0]
    return FinishedInput(artifact=artifact, folder=item.folder, include=item.include, stage=item.stage)


def _as_planned(node: StageNode, inputs: Inputs) -> Decided:
    return Decided(node.config)


def _train(node: StageNode, inputs: Inputs) -> Decided:
    config, reasons, summary = decide_train(node.config, node.resources, _data_counts(inputs))
    return Decided(config.model_dump(), reasons, summary)


def _eval(node: StageNode, inputs: Inputs) -> Decided:
    counts = _data_counts(inputs)
    reasons: dict[str, str] = {}
    tokens = max_new_tokens(node.config["decoding"]["max_new_tokens"], counts, reasons)
    more = {name: value for name, value in node.config.items() if name not in ("metrics", "decoding", "seed")}
    finished = BaselinesConfig if more else EvalConfig
    config = finished(
        metrics=[MetricConfig(**one) for one in node.config["metrics"]],
        decoding=DecodingConfig(**{**node.config["decoding"], "max_new_tokens": tokens}),
        device=node.resources.device,
        spread_over=_spread_over(node),
        threads_per_process=node.resources.threads_per_process,
        seed=node.config["seed"],
        **more,
    )
    summary = f"{counts.held_out:,} held-out examples | at most {tokens} new tokens"
    return Decided(config.model_dump(), reasons, summary)


def _spread_over(node: StageNode) -> int:
    """A server is told by its command how to use several GPUs."""
    gpus = node.resources.gpus_per_node
    return gpus if gpus > 1 and node.config["decoding"]["server"] is None else 0


def _compare(node: StageNode, inputs: Inputs) -> Decided:
    config = CompareConfig(**node.config, bootstrap_draws=BOOTSTRAP_DRAWS)
    return Decided(config.model_dump())


def _data_counts(inputs: Inputs) -> DataCounts:
    return DataCounts.model_validate(inputs["data"][1].counts)


_DECIDE: dict[str, Callable[[StageNode, Inputs], Decided]] = {
    "jobs.data.importer": _as_planned,
    "jobs.data.import_dataset": _as_planned,
    "jobs.data": _as_planned,
    "jobs.train": _train,
    "jobs.eval": _eval,
    "jobs.eval.baselines": _eval,
    "jobs.eval.compare": _compare,
}
