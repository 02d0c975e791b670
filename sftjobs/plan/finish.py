"""`finish`: a planned stage and the manifests of its inputs -> the stage plan, with every value decided. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sftjobs.plan.configs import CompareConfig, DataCounts, EvalConfig
from sftjobs.plan.decide_train import decide_train
from sftjobs.plan.key import key_json, stage_key
from sftjobs.plan.types import ArtifactRef, FinishedInput, Manifest, RunPlan, StageInput, StageNode, StagePlan

BOOTSTRAP_DRAWS = 10_000
SPARE_TOKENS = 8
"""Generation for answers of known length may go on for so many tokens more than the longest one."""

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
    tokens = node.config["max_new_tokens"]
    if tokens == "auto":
        tokens = counts.longest_answer_tokens + SPARE_TOKENS
        reasons["max_new_tokens"] = f"longest expected answer ({counts.longest_answer_tokens}) + {SPARE_TOKENS}"
    config = EvalConfig(
        metrics=_metrics(node.config["metrics"], counts.output_format),
        max_new_tokens=tokens,
        device=node.resources.device,
        threads_per_process=node.resources.threads_per_process,
        seed=node.config["seed"],
    )
    summary = f"{counts.held_out:,} held-out examples | at most {tokens} new tokens"
    return Decided(config.model_dump(), reasons, summary)


def _compare(node: StageNode, inputs: Inputs) -> Decided:
    wanted = node.config["metrics"]
    found = inputs["eval-base"][1].counts["metrics"]  # sorted by name, as every stored document
    config = CompareConfig(
        metric=next(iter(found)) if wanted == "auto" else wanted[0],
        confidence=node.config["confidence"],
        bootstrap_draws=BOOTSTRAP_DRAWS,
        seed=node.config["seed"],
    )
    return Decided(config.model_dump())


def _metrics(wanted: str | list[Any], output_format: str) -> list[Any]:
    if wanted != "auto":
        return list(wanted)
    return ["accuracy"] if output_format == "label" else ["exact_match"]


def _data_counts(inputs: Inputs) -> DataCounts:
    return DataCounts.model_validate(inputs["data"][1].counts)


_DECIDE: dict[str, Callable[[StageNode, Inputs], Decided]] = {
    "jobs.data.importer": _as_planned,
    "jobs.data.import_dataset": _as_planned,
    "jobs.data": _as_planned,
    "jobs.train": _train,
    "jobs.eval": _eval,
    "jobs.eval.compare": _compare,
}
