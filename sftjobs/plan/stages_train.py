"""The stages that train."""

from sftjobs.plan.parts import operation, resources
from sftjobs.plan.stages_eval import metric_inputs, metrics
from sftjobs.plan.task_plans import Training
from sftjobs.plan.types import StageInput, StageNode
from sftjobs.spec.run import RunSpec

_NOT_OF_ONE_TRAINING = {"checkpoint_every_s", "checkpoints", "epochs", "multi_task", "seeds", "report_to"}
"""Fields of `train` that are operation, or that say which trainings there are and what each draws."""


def train_stage(spec: RunSpec, name: str, training: Training, base: StageInput, seed: int) -> StageNode:
    """Its config is the spec's until the data is known; `finish` makes a TrainConfig of it.

    `base` is the base model of the run, from which it begins unless it goes on from another training.
    """
    train = spec.train
    config = train.model_dump(exclude=_NOT_OF_ONE_TRAINING)
    config["mixture"] = training.mixture.model_dump()
    config["max_tokens"] = spec.data.max_tokens
    config["seed"] = seed
    needed = ["train.jsonl", "prompt.json"]
    on_answers = spec.data.dev_fraction is not None and train.dev.by == "metric"
    if spec.data.dev_fraction is None:
        del config["dev"]
    else:
        needed.append("dev.jsonl")
        config["dev"] |= {"metrics": metrics(spec)[:1], "max_new_tokens": spec.eval.max_new_tokens}
    return StageNode(
        name=name,
        kind="train",
        program="jobs.train",
        config=config,
        inputs={
            "model": base if training.after is None else StageInput(stage=training.after, folder="model"),
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
