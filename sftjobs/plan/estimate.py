"""Numbers of a plan before its data stage has run: counted from the files, marked `~`."""

from dataclasses import dataclass
from pathlib import Path

from sftjobs.plan.configs import DataCounts, TaskCounts
from sftjobs.plan.decide_train import decide_train
from sftjobs.plan.types import External, RunPlan
from sftjobs.spec.run import RunSpec

CHUNK = 1 << 20
_WITHOUT_TOKENS = ("method", "learning_rate", "global_batch_size")
"""What has a reason that holds before the data is tokenised."""
LARGEST = 1 << 30
"""Bytes; larger files are not counted, planning must stay quick."""


@dataclass(frozen=True)
class Numbers:
    """Of one training, as they are printed."""

    summary: str
    reasons: dict[str, str]


def numbers(spec: RunSpec, plan: RunPlan, counts: DataCounts | None) -> dict[str, Numbers]:
    """The printed arithmetic of each training, by stage.

    `counts`: of the data stage. Without them it is estimated, and empty where the inputs are not local or very large.
    """
    trainings = [stage for stage in plan.stages if stage.kind == "train"]
    if counts is not None:
        exact = {node.name: decide_train(node.config, node.resources, counts) for node in trainings}
        return {name: Numbers(summary, reasons) for name, (_, reasons, summary) in exact.items()}
    tasks = counted(spec, plan)
    if tasks is None:
        return {}
    guess = DataCounts(
        records=0, tasks=tasks, held_out=0, dropped={}, labels={}, max_example_tokens=0,
        common_prefix_tokens=0, longest_answer_tokens=0, output_format="free",
    )  # fmt: skip
    found = {}
    for node in trainings:
        _, reasons, summary = decide_train(node.config, node.resources, guess)
        # Supervised tokens, and what depends on lengths, are not known before tokenising.
        known = {name: reason for name, reason in reasons.items() if name in _WITHOUT_TOKENS}
        found[node.name] = Numbers("~ " + summary.rpartition(" | ")[0], known)
    return found


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
