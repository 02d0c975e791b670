"""The stages that train, one for each seed."""

from sftjobs.plan.configs import MixtureConfig
from sftjobs.plan.parts import numbered, operation, resources
from sftjobs.plan.stages_eval import metric_inputs, metrics
from sftjobs.plan.types import StageInput, StageNode
from sftjobs.spec.run import RunSpec


def train_stage(spec: RunSpec, model: StageInput, number: int) -> StageNode:
    """Its config is the spec's until the data is known; `finish` makes a TrainConfig of it."""
    train = spec.train
    config = train.model_dump(exclude={"checkpoint_every_s", "checkpoints", "epochs", "seeds", "report_to"})
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
            **(metric_inputs(metrics(spec)[:1]) if on_answers else {}),
        },
        resources=resources(spec.resources.train),
        operation=operation(
            spec,
            checkpoint_every_s=train.checkpoint_every_s,
            keep_last=train.checkpoints.keep_last,
            keep_every=train.checkpoints.keep_every,
            batch_size=spec.eval.batch_size,
            report_to=train.report_to,
        ),
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
