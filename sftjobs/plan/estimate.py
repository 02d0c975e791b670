"""Numbers of a plan before its data stage has run: counted from the files, marked `~`."""

from pathlib import Path

from sftjobs.plan.configs import DataCounts, TaskCounts
from sftjobs.plan.decide_train import decide_train
from sftjobs.plan.types import External, RunPlan
from sftjobs.spec.run import RunSpec

CHUNK = 1 << 20
LARGEST = 1 << 30
"""Bytes; larger files are not counted, planning must stay quick."""


def estimate(spec: RunSpec, plan: RunPlan) -> str | None:
    """The printed arithmetic of training, estimated; None where the inputs are not local or very large."""
    tasks = counted(spec, plan)
    if tasks is None:
        return None
    counts = DataCounts(
        records=0, tasks=tasks, held_out=0, dropped={}, labels={}, max_example_tokens=0,
        common_prefix_tokens=0, longest_answer_tokens=0, output_format="free",
    )  # fmt: skip
    node = plan.stage("train")
    _, _, summary = decide_train(node.config, node.resources, counts)
    return "~ " + summary.rpartition(" | ")[0]  # supervised tokens are not known before tokenising


def counted(spec: RunSpec, plan: RunPlan) -> dict[str, TaskCounts] | None:
    """Examples of each task as the lines of its file say; None where the inputs are not local or very large."""
    tasks: dict[str, TaskCounts] = {}
    share = 1.0 - (spec.data.held_out.fraction or 0.0)
    for name, task in spec.data.tasks.items():
        records = _records(plan.facts.externals.get(f"task.{name}"), header=task.path.endswith(".csv"))
        if records is None:
            return None
        kept = round(records * share)
        kept = kept if task.max_examples == "all" else min(kept, task.max_examples)
        tasks[name] = TaskCounts(examples=kept, tokens=0, supervised_tokens=0)
    _select(spec, tasks)
    if spec.data.general is not None:
        records = _records(plan.facts.externals.get("general"), header=spec.data.general.path.endswith(".csv"))
        if records is None:
            return None
        tasks["general"] = TaskCounts(examples=records, tokens=0, supervised_tokens=0)
    return tasks


def _select(spec: RunSpec, tasks: dict[str, TaskCounts]) -> None:
    """`data.select` takes from each task about its share."""
    total = sum(task.examples for task in tasks.values())
    if spec.data.select is None or total <= spec.data.select.keep:
        return
    for name, task in tasks.items():
        kept = round(task.examples * spec.data.select.keep / total)
        tasks[name] = task.model_copy(update={"examples": kept})


def _records(external: External | None, header: bool) -> int | None:
    if external is None:  # a stage makes it
        return None
    path = Path(external.source)
    if not path.is_file() or path.stat().st_size > LARGEST:
        return None
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    lines += last != b"\n"
    return max(0, lines - header)
