"""The stages that bring models and data into the store, and the data stage."""

from sftjobs.plan.configs import DataConfig, DatasetImportConfig, ImportConfig, SelectConfig, SourceConfig
from sftjobs.plan.parts import operation, resources
from sftjobs.plan.types import Facts, StageInput, StageNode
from sftjobs.spec.columns import output_column
from sftjobs.spec.data import SourceSpec, TaskSpec
from sftjobs.spec.formats import format_of
from sftjobs.spec.input_places import (
    FLAGGED_WORDS,
    GENERAL,
    HELD_OUT,
    WAIVE,
    against_input,
    data_places,
    held_out_input,
    places,
    task_input,
    value_at,
)
from sftjobs.spec.places import hub_data, hub_model
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import ModelSpec, RunSpec

TOKENIZER_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
"""The files of a model folder that hold config, tokenizer and chat template."""


def import_stage(spec: RunSpec, facts: Facts) -> StageNode | None:
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
        resources=resources(spec.resources.data),
        operation=operation(spec, secrets=secrets),
    )


def dataset_stages(spec: RunSpec, facts: Facts) -> dict[str, StageNode]:
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
            resources=resources(spec.resources.data),
            operation=operation(spec, secrets={} if token is None else {"hub_token": token.env}),
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
        held_out_tasks={
            name: _source(held_out_input(name), task.model_copy(update={"path": task.held_out}), prompt, limits=False)
            for name, task in data.tasks.items()
            if task.held_out is not None
        },
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


def _present(name: str, path: str | None) -> str | None:
    """The name of the input instead of its path: a config says nothing about places, or the key would."""
    return None if path is None else name


def data_stage(spec: RunSpec, model: StageInput, imported: dict[str, StageNode]) -> StageNode:
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
        resources=resources(spec.resources.data),
        operation=operation(spec),
    )


def _source(name: str, source: SourceSpec, prompt: PromptSpec, limits: bool = True) -> SourceConfig:
    """`limits`: those of a task's training examples."""
    task = source if limits and isinstance(source, TaskSpec) else None
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
