"""The advice of `sftjobs check`: what the plan and the answer about the data say, as `sftjobs.advice` takes it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from sftjobs.advice import choices
from sftjobs.advice.advise import Data, Price, Run, advise
from sftjobs.advice.placing import Cluster
from sftjobs.advice.shape import ModelShape
from sftjobs.cli.output import table
from sftjobs.plan.arithmetic import optimizer_steps
from sftjobs.plan.configs import DataCounts, TaskCounts, TrainConfig
from sftjobs.plan.decide_train import LEARNING_RATE, decide_train
from sftjobs.plan.estimate import counted
from sftjobs.plan.sampler import Mixture

if TYPE_CHECKING:
    from sftjobs.cli.context import Planned
    from sftjobs.spec.cluster import ClusterSpec


def training_advice(
    planned: "Planned", tables: dict[str, Any], folder: str | None, cluster: "ClusterSpec"
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of the table of advice, each with what this run has; and notes on what could not be said.

    `tables`: of the answer of `jobs.data.check`; `folder`: the base model, None if it is not on this machine.
    """
    data = _data(planned, tables)
    if not data.examples:
        return [], []
    notes: list[str] = []
    shape = _shape(folder, notes)
    decided, _, _ = decide_train(*_train_node(planned), _counts(data))
    gpu = cluster.gpu
    run = _run(planned, decided, data)
    there = gpu.cluster() if gpu else None
    if gpu is None and run.gpus:
        notes.append("memory and time on GPUs are not known: give --cluster with a cluster.yaml that has a block gpu")
        shape = None
    price = Price(gpu.price_per_hour, gpu.currency) if gpu and gpu.price_per_hour is not None else None
    trainings = [stage.name for stage in planned.plan.stages if stage.kind == "train"]
    if len(trainings) > 1 and shape is not None:
        notes.append(f"time and cost are of stage train; this run has {len(trainings)}: {', '.join(trainings)}")
    rows = advise(shape, data, run, _within(there), price)
    now = _this_run(planned, run, decided.learning_rate)
    return [{**asdict(row), "this_run": now.get(row.topic, "")} for row in rows], notes


def step_advice(planned: "Planned", tables: dict[str, Any]) -> list[dict[str, str]]:
    """What to change where an epoch has fewer examples than the batch of a step, for each training it is true of."""
    data = _data(planned, tables)
    trainings = [stage for stage in planned.plan.stages if stage.kind == "train"]
    found: dict[tuple[str, str], list[str]] = {}
    for stage in trainings if data.examples else []:
        decided, _, _ = decide_train(stage.config, stage.resources, _counts(data))
        epoch = max(_drawn(decided, data), default=0)
        named = [name for name in ("global_batch_size", "micro_batch_size") if stage.config[name] != "auto"]
        said = choices.batch_beyond_epoch(decided.global_batch, epoch, decided.world_size, named)
        if said is not None:
            found.setdefault(said, []).append(stage.name)
    return [
        {"text": text, "reason": reason if len(trainings) == 1 else f"{', '.join(stages)}: {reason}"}
        for (text, reason), stages in found.items()
    ]


def show_advice(rows: list[dict[str, Any]], out: Console) -> None:
    """The table, for people."""
    if not rows:
        return
    out.print("\nadvice on training (docs/advice.md); none of it is a condition:", style="bold")
    shown = table("what", "advice", "this run", "reason", "source")
    for row in rows:
        shown.add_row(row["topic"], row["value"], row["this_run"], row["reason"], row["source"])
    out.print(shown, soft_wrap=False)


def _data(planned: "Planned", tables: dict[str, Any]) -> Data:
    tokens = tables.get("tokens") or {}
    return Data(
        tasks=_tasks(planned, tables),
        tokens=round(tokens.get("mean", 0)),
        longest=tokens.get("max", 0),
        scored=max(1, round(tokens.get("supervised_mean", 1))),
        prefix=tokens.get("common_prefix_tokens", 0),
        labels=len(tables.get("labels") or []),
    )


def _within(cluster: Cluster | None) -> Cluster | None:
    return cluster if cluster is not None and cluster.gpu.memory_gib else None


def _tasks(planned: "Planned", tables: dict[str, Any]) -> dict[str, int]:
    """Examples of an epoch; of a source that was only sampled, the lines of its file times the share that was kept."""
    lines = counted(planned.spec, planned.plan) or {}
    found: dict[str, int] = {}
    for row in tables.get("tasks") or []:
        if row["side"] != "train":
            continue
        name, kept = row["task"], row["kept"]
        by_line = lines[name].examples if name in lines else kept
        found[name] = round(by_line * kept / row["records"]) if by_line > row["records"] > 0 else kept
    return found


def _shape(folder: str | None, notes: list[str]) -> ModelShape | None:
    if folder is None:
        notes.append("memory and time are not known: the model is not on this machine as a folder yet")
        return None
    try:
        return ModelShape.in_folder(Path(folder))
    except (OSError, ValueError) as error:
        notes.append(f"memory and time are not known: {error}")
        return None


def _counts(data: Data) -> DataCounts:
    tasks = {
        name: TaskCounts(examples=number, tokens=number * data.tokens, supervised_tokens=number * data.scored)
        for name, number in data.tasks.items()
    }
    return DataCounts(
        records=data.examples, tasks=tasks, held_out=0, dropped={}, labels={}, max_example_tokens=data.longest,
        common_prefix_tokens=data.prefix, longest_answer_tokens=0, output_format="free",
    )  # fmt: skip


def _train_node(planned: "Planned") -> tuple[dict[str, Any], Any]:
    node = planned.plan.stage("train")
    return node.config, node.resources


def _run(planned: "Planned", decided: TrainConfig, data: Data) -> Run:
    lora, resources = planned.spec.train.lora, planned.plan.stage("train").resources
    step = min(decided.global_batch, max(_drawn(decided, data), default=0))
    return Run(
        method=decided.method,
        precision=decided.precision,
        micro_batch=decided.micro_batch_size,
        global_batch=decided.global_batch,
        epochs=_passes(decided, data),
        gpus=resources.gpus_per_node * resources.nodes,
        nodes=resources.nodes,
        threads=resources.threads_per_process * max(1, min(resources.world_size, step)),
        ranks=resources.world_size,
        step=step,
        rank=lora.rank,
        target=lora.target,
        rates={str(name): rate for name, rate in LEARNING_RATE.items()},
    )


def _drawn(decided: TrainConfig, data: Data) -> list[int]:
    """Examples of each epoch."""
    return [sum(epoch.values()) for epoch in Mixture.of(decided.mixture).draws(data.tasks)]


def _passes(decided: TrainConfig, data: Data) -> float:
    """Over all examples, in the mean: tasks have epochs of their own, and `max_steps` ends them early."""
    drawn = _drawn(decided, data)
    steps = optimizer_steps(drawn, decided.global_batch)
    return sum(drawn) / data.examples * decided.steps / max(1, steps)


def _epochs(planned: "Planned") -> str:
    """Of the tasks that set their own, and of the others."""
    usual, tasks = planned.spec.train.epochs, planned.spec.data.tasks
    own = [f"{name} {task.epochs:g}" for name, task in tasks.items() if task.epochs not in (None, usual)]
    return ", ".join([f"{usual:g}"] * (len(own) < len(tasks)) + own)


def _this_run(planned: "Planned", run: Run, rate: float) -> dict[str, str]:
    where = f"{run.nodes} x {run.gpus // run.nodes} GPUs" if run.gpus else f"{run.nodes} x CPU"
    return {
        "train.method": run.method,
        "train.learning_rate": f"{rate:g}",
        "train.epochs": _epochs(planned),
        "train.global_batch_size": str(run.global_batch),
        "train.micro_batch_size": str(run.micro_batch),
        "train.precision": run.precision,
        "resources.train": where,
        "train.zero": f"stage: {planned.spec.train.zero.stage}",
    }
