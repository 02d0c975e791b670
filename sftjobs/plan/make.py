"""`make`: run spec and facts -> the graph of stages. Pure: the same spec and facts give the same plan, byte for byte.

import? ── data ── train ── eval-tuned ─┐
   └────────┴───────────── eval-base ───┼── compare
                       eval-previous? ──┘
"""

from typing import Any

from sftjobs.plan.configs import DataConfig, ImportConfig, SelectConfig, SourceConfig
from sftjobs.plan.types import Facts, Operation, Resources, RunPlan, StageInput, StageNode
from sftjobs.spec.columns import output_column
from sftjobs.spec.places import hub_model
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import ColumnMap, GeneralSpec, HeldOutSpec, ModelSpec, RunSpec, StageResources, TaskSpec

TOKENIZER_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
"""The files of a model folder that hold config, tokenizer and chat template."""


def make(spec: RunSpec, facts: Facts) -> RunPlan:
    """The plan of a run: every stage with all that the spec says about it; what depends on data is decided later."""
    model = StageInput(external="model")
    stages: list[StageNode] = []
    importing = _import_stage(spec, facts)
    if importing is not None:
        stages.append(importing)
        model = StageInput(stage=importing.name)
    stages += [_data_stage(spec, model), _train_stage(spec, model)]
    stages += [_eval_stage(spec, "eval-base", model)]
    stages += [_eval_stage(spec, "eval-tuned", StageInput(stage="train", folder="model"))]
    compared = {"base": "eval-base", "tuned": "eval-tuned"}
    if facts.previous is not None:
        previous = StageInput(artifact=facts.previous.model, folder="model")
        stages += [_eval_stage(spec, "eval-previous", previous)]
        compared["previous"] = "eval-previous"
    stages += [_compare_stage(spec, compared)]
    return RunPlan(
        name=spec.name,
        stages=stages,
        facts=facts,
        parallel_stages=spec.resources.parallel_stages,
        retries=spec.retries.model_dump(),
    )


def _resources(wanted: StageResources) -> Resources:
    processes = wanted.processes_per_node or max(1, wanted.gpus_per_node)
    return Resources(**{**wanted.model_dump(), "processes_per_node": processes})


def _operation(spec: RunSpec, **more: Any) -> Operation:
    return Operation(
        hang_after_s=spec.limits.hang_after_s,
        stage_time_s=spec.limits.stage_time_s,
        grace_s=spec.limits.grace_s,
        **more,
    )


def _import_stage(spec: RunSpec, facts: Facts) -> StageNode | None:
    """A model that is not yet a folder of safetensors is converted once; every other stage reads the result."""
    assert isinstance(spec.model, ModelSpec)
    secrets: dict[str, str] = {}
    inputs: dict[str, StageInput] = {}
    on_hub = hub_model(spec.model.path)
    if on_hub is not None:
        repository = on_hub[0]
        config = ImportConfig(format="hub", dtype=spec.model.dtype, repository=repository, revision=facts.hub_commit)
        if spec.model.token is not None:
            secrets["hub_token"] = spec.model.token.env
    elif any(file.path.endswith(".gguf") for file in facts.externals["model"].files):
        config = ImportConfig(format="gguf", dtype=spec.model.dtype)
        inputs["source"] = StageInput(external="model")
    else:
        return None
    return StageNode(
        name="import",
        kind="data",
        program="jobs.data.importer",
        config=config.model_dump(),
        inputs=inputs,
        resources=_resources(spec.resources.data),
        operation=_operation(spec, secrets=secrets),
    )


def data_config(spec: RunSpec) -> DataConfig:
    """What the data stage is told; `sftjobs check` uses the same."""
    prompt = spec.prompt
    assert isinstance(prompt, PromptSpec)
    data = spec.data
    return DataConfig(
        prompt=prompt,
        label_order=list(prompt.labels),
        tasks={name: _source(f"task.{name}", task, prompt) for name, task in data.tasks.items()},
        general=None if data.general is None else _source("general", data.general, prompt),
        held_out=None if data.held_out.path is None else _source("held_out", data.held_out, prompt),
        held_out_fraction=data.held_out.fraction,
        held_out_max=data.held_out.max_examples,
        select=None if data.select is None else SelectConfig(**data.select.model_dump()),
        max_tokens=data.max_tokens,
        seed=spec.seed,
    )


def _data_stage(spec: RunSpec, model: StageInput) -> StageNode:
    names = [f"task.{name}" for name in spec.data.tasks]
    names += ["general"] if spec.data.general is not None else []
    names += ["held_out"] if spec.data.held_out.path is not None else []
    inputs = {name: StageInput(external=name) for name in names}
    inputs["model"] = model.model_copy(update={"include": TOKENIZER_FILES})
    return StageNode(
        name="data",
        kind="data",
        program="jobs.data",
        config=data_config(spec).model_dump(),
        inputs=inputs,
        resources=_resources(spec.resources.data),
        operation=_operation(spec),
    )


def _source(name: str, source: TaskSpec | GeneralSpec | HeldOutSpec, prompt: PromptSpec) -> SourceConfig:
    columns: ColumnMap = source.columns
    path = source.path or ""
    return SourceConfig(
        input=name,
        format="csv" if path.rstrip("/").endswith(".csv") else "jsonl",
        output_column=output_column(columns.output, prompt.output.format),
        id_column=columns.id,
        max_examples=source.max_examples if isinstance(source, TaskSpec) else None,
    )


def _train_stage(spec: RunSpec, model: StageInput) -> StageNode:
    """Its config is the spec's until the data is known; `finish` makes a TrainConfig of it."""
    resources = _resources(spec.resources.train)
    config = spec.train.model_dump(exclude={"checkpoint_every_s", "keep"})
    config["task_epochs"] = {name: task.epochs for name, task in spec.data.tasks.items()}
    general = spec.data.general
    config["general_ratio"] = None if general is None else general.ratio
    config["general_max_repeats"] = 1 if general is None else general.max_repeats
    config["max_tokens"] = spec.data.max_tokens
    config["seed"] = spec.seed
    return StageNode(
        name="train",
        kind="train",
        program="jobs.train",
        config=config,
        inputs={"model": model, "data": StageInput(stage="data", include=["train.jsonl", "prompt.json"])},
        resources=resources,
        operation=_operation(spec, checkpoint_every_s=spec.train.checkpoint_every_s),
    )


def _eval_stage(spec: RunSpec, name: str, model: StageInput) -> StageNode:
    config = {"metrics": spec.eval.metrics, "max_new_tokens": spec.eval.max_new_tokens, "seed": spec.seed}
    return StageNode(
        name=name,
        kind="eval",
        program="jobs.eval",
        config=config,
        inputs={"model": model, "data": StageInput(stage="data", include=["held_out.jsonl", "prompt.json"])},
        resources=_resources(spec.resources.eval),
        operation=_operation(spec, batch_size=spec.eval.batch_size),
    )


def _compare_stage(spec: RunSpec, compared: dict[str, str]) -> StageNode:
    config = {"confidence": spec.eval.confidence, "metrics": spec.eval.metrics, "seed": spec.seed}
    return StageNode(
        name="compare",
        kind="eval",
        program="jobs.eval.compare",
        config=config,
        inputs={role: StageInput(stage=stage) for role, stage in compared.items()},
        resources=_resources(spec.resources.eval),
        operation=_operation(spec),
    )
