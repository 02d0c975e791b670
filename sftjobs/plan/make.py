"""`make`: run spec and facts -> the graph of stages. Pure: the same spec and facts give the same plan, byte for byte.

import-data<n>? ─┐
        import? ─┴─ data ─┬─ train ── eval-tuned ──┐
           │              ├─ train-2? ─ eval-tuned-2? ┤   one for each of `train.seeds`
           └──────────────┼──────── eval-base ─────┼── compare
                          ├──────── baselines? ────┤
                          └──────── eval-previous? ┘
"""

from typing import Any

from sftjobs.plan.configs import (
    DataConfig,
    DatasetImportConfig,
    ImportConfig,
    MetricConfig,
    MixtureConfig,
    SelectConfig,
    SourceConfig,
)
from sftjobs.plan.types import Facts, Operation, PreviousRun, Resources, RunPlan, StageInput, StageNode
from sftjobs.spec.columns import output_column
from sftjobs.spec.data import SourceSpec, TaskSpec
from sftjobs.spec.eval import Baseline, UserMetric
from sftjobs.spec.formats import format_of
from sftjobs.spec.input_places import (
    FLAGGED_WORDS,
    GENERAL,
    HELD_OUT,
    WAIVE,
    against_input,
    data_places,
    metric_input,
    places,
    task_input,
    value_at,
)
from sftjobs.spec.places import hub_data, hub_model
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import ModelSpec, RunSpec, StageResources

TOKENIZER_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
"""The files of a model folder that hold config, tokenizer and chat template."""
BASELINES = "baselines"
"""Name of the stage that answers with each of `eval.baselines`."""


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
    stages += [_data_stage(spec, model, imported)]
    stages += [_train_stage(spec, model, number) for number in range(1, spec.train.seeds + 1)]
    stages += [_eval_stage(spec, "eval-base", model)]
    compared = {"base": "eval-base"}
    if baselines(spec):
        stages += [_baselines_stage(spec, model)]
        compared["baselines"] = BASELINES
    for number in range(1, spec.train.seeds + 1):
        name = numbered("eval-tuned", number)
        stages += [_eval_stage(spec, name, StageInput(stage=numbered("train", number), folder="model"))]
        compared[numbered("tuned", number)] = name
    if facts.previous is not None:
        stages += [_previous_stage(spec, facts.previous)]
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
    inputs = {
        name: StageInput(stage=imported[name].name) if name in imported else StageInput(external=name)
        for name in data_places(spec)
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


def numbered(name: str, number: int) -> str:
    """Name of what belongs to the `number`th seed; the first one has none."""
    return name if number == 1 else f"{name}-{number}"


def _train_stage(spec: RunSpec, model: StageInput, number: int) -> StageNode:
    """Its config is the spec's until the data is known; `finish` makes a TrainConfig of it."""
    train = spec.train
    config = train.model_dump(exclude={"checkpoint_every_s", "epochs", "seeds", "report_to"})
    config["mixture"] = mixture_config(spec).model_dump()
    config["max_tokens"] = spec.data.max_tokens
    config["seed"] = spec.seed + number - 1
    needed = ["train.jsonl", "prompt.json"]
    on_answers = spec.data.dev_fraction is not None and train.dev.by == "metric"
    if spec.data.dev_fraction is None:
        del config["dev"]
    else:
        needed.append("dev.jsonl")
        config["dev"] |= {"metrics": metrics(spec)[:1], "max_new_tokens": spec.eval.max_new_tokens}
    return StageNode(
        name=numbered("train", number),
        kind="train",
        program="jobs.train",
        config=config,
        inputs={
            "model": model,
            "data": StageInput(stage="data", include=needed),
            **(_metric_inputs(metrics(spec)[:1]) if on_answers else {}),
        },
        resources=_resources(spec.resources.train),
        operation=_operation(
            spec,
            checkpoint_every_s=train.checkpoint_every_s,
            batch_size=spec.eval.batch_size,
            report_to=train.report_to,
        ),
    )


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


def _metric_inputs(wanted: list[dict[str, Any]]) -> dict[str, StageInput]:
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


def _eval_stage(
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
            **_metric_inputs(wanted),
            **(more_inputs or {}),
        },
        resources=_resources(spec.resources.eval),
        operation=_operation(spec, batch_size=spec.eval.batch_size),
    )


def _previous_stage(spec: RunSpec, previous: PreviousRun) -> StageNode:
    """It is told what that model was trained on: nothing of it may be held out here."""
    trained_on = StageInput(artifact=previous.data, include=["train.jsonl"])
    more = {} if previous.data is None else {"trained_on": trained_on}
    return _eval_stage(spec, "eval-previous", StageInput(artifact=previous.model, folder="model"), more)


def _baselines_stage(spec: RunSpec, model: StageInput) -> StageNode:
    stage = _eval_stage(spec, BASELINES, model)
    data = StageInput(stage="data", include=["train.jsonl", "held_out.jsonl", "prompt.json"])
    return stage.model_copy(
        update={
            "program": "jobs.eval.baselines",
            "config": {**stage.config, "baselines": baselines(spec), "shots": spec.eval.shots},
            "inputs": {**stage.inputs, "data": data},
        }
    )


def _compare_stage(spec: RunSpec, compared: dict[str, str]) -> StageNode:
    config = {"metric": metrics(spec)[0]["name"], "confidence": spec.eval.confidence, "seed": spec.seed}
    data = StageInput(stage="data", include=["train.jsonl"])
    return StageNode(
        name="compare",
        kind="eval",
        program="jobs.eval.compare",
        config=config,
        inputs={**{role: StageInput(stage=stage) for role, stage in compared.items()}, "data": data},
        resources=_resources(spec.resources.eval),
        operation=_operation(spec),
    )
