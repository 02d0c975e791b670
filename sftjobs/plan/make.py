"""`make`: run spec and facts -> the graph of stages. Pure: the same spec and facts give the same plan, byte for byte.

import-data<n>? ─┐
        import? ─┴─ data ── train ── eval-tuned ─┐
           └────────┴────────────── eval-base ───┼── compare
                                eval-previous? ──┘
"""

from typing import Any

from sftjobs.plan.configs import (
    DataConfig,
    DatasetImportConfig,
    ImportConfig,
    MixtureConfig,
    SelectConfig,
    SourceConfig,
)
from sftjobs.plan.types import Facts, Operation, Resources, RunPlan, StageInput, StageNode
from sftjobs.spec.columns import output_column
from sftjobs.spec.data import SourceSpec, TaskSpec
from sftjobs.spec.formats import format_of
from sftjobs.spec.input_places import (
    FLAGGED_WORDS,
    GENERAL,
    HELD_OUT,
    WAIVE,
    against_input,
    places,
    task_input,
    value_at,
)
from sftjobs.spec.places import hub_data, hub_model
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import ModelSpec, RunSpec, StageResources

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
    imported = _dataset_stages(spec, facts)
    stages += list(imported.values())
    stages += [_data_stage(spec, model, imported), _train_stage(spec, model)]
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


def _dataset_stages(spec: RunSpec, facts: Facts) -> dict[str, StageNode]:
    """Input name -> the stage that brings a data set of a hub into the store."""
    token = spec.data.hub_token
    stages: dict[str, StageNode] = {}
    for name, place in places(spec).items():
        on_hub = hub_data(str(value_at(spec, place)))
        if on_hub is None:
            continue
        split = getattr(value_at(spec, place[:-1]), "split", None)
        config = DatasetImportConfig(repository=on_hub[0], revision=facts.data_commits[name], split=split)
        stages[name] = StageNode(
            name=f"import-data{len(stages) + 1}",
            kind="data",
            program="jobs.data.import_dataset",
            config=config.model_dump(),
            inputs={},
            resources=_resources(spec.resources.data),
            operation=_operation(spec, secrets={} if token is None else {"hub_token": token.env}),
        )
    return stages


def data_config(spec: RunSpec) -> DataConfig:
    """What the data stage is told; `sftjobs check` uses the same."""
    prompt = spec.prompt
    assert isinstance(prompt, PromptSpec)
    data = spec.data
    against = [against_input(i) for i in range(len(data.decontaminate.against))]
    general = data.general
    return DataConfig(
        prompt=prompt,
        label_order=list(prompt.labels),
        tasks={name: _source(task_input(name), task, prompt) for name, task in data.tasks.items()},
        general=None if general is None else _source(GENERAL, general, prompt),
        held_out=None if data.held_out.path is None else _source(HELD_OUT, data.held_out, prompt),
        held_out_fraction=data.held_out.fraction,
        held_out_max=data.held_out.max_examples,
        dev_fraction=data.dev_fraction,
        on_bad_record=data.on_bad_record,
        max_bad_records=data.max_bad_records,
        max_dropped=data.max_dropped,
        clean=data.clean.model_copy(
            update={"flagged_words_file": _present(FLAGGED_WORDS, data.clean.flagged_words_file)}
        ),
        duplicates=data.duplicates,
        decontaminate=data.decontaminate.model_copy(
            update={"against": against, "waive": _present(WAIVE, data.decontaminate.waive)}
        ),
        denoise=data.denoise,
        corrections=data.corrections is not None,
        select=None if data.select is None else SelectConfig(**data.select.model_dump()),
        max_tokens=data.max_tokens,
        overlength=data.overlength,
        seed=spec.seed,
    )


def mixture_config(spec: RunSpec) -> MixtureConfig:
    """How training draws from the tasks; `sftjobs check` uses the same."""
    tasks, general = spec.data.tasks, spec.data.general
    return MixtureConfig(
        epochs={name: task.epochs or spec.train.epochs for name, task in tasks.items()},
        mix=spec.data.mix,
        weights={name: task.weight for name, task in tasks.items()},
        general_ratio=None if general is None else general.ratio,
        general_max_repeats=1 if general is None else general.max_repeats,
    )


def _present(name: str, path: str | None) -> str | None:
    """The name of the input instead of its path: a config says nothing about places, or the key would."""
    return None if path is None else name


def _data_stage(spec: RunSpec, model: StageInput, imported: dict[str, StageNode]) -> StageNode:
    names = [name for name in places(spec) if name != "model"]
    inputs = {
        name: StageInput(stage=imported[name].name) if name in imported else StageInput(external=name) for name in names
    }
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


def _source(name: str, source: SourceSpec, prompt: PromptSpec) -> SourceConfig:
    task = source if isinstance(source, TaskSpec) else None
    return SourceConfig(
        input=name,
        format=format_of(source.path or "") if source.format == "auto" else source.format,
        shape=source.shape,
        encoding=source.encoding,
        split=source.split,
        output_column=output_column(source.columns.output, prompt.output.format),
        columns=source.columns,
        max_examples=None if task is None or task.max_examples == "all" else task.max_examples,
        max_per_label=None if task is None else task.max_per_label,
    )


def _train_stage(spec: RunSpec, model: StageInput) -> StageNode:
    """Its config is the spec's until the data is known; `finish` makes a TrainConfig of it."""
    resources = _resources(spec.resources.train)
    config = spec.train.model_dump(exclude={"checkpoint_every_s", "keep", "epochs"})
    config["mixture"] = mixture_config(spec).model_dump()
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
