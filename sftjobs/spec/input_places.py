"""The external inputs that a run.yaml names: the name of each, and where its path is written."""

from typing import Any

from sftjobs.spec.eval import UserMetric
from sftjobs.spec.lines import Path
from sftjobs.spec.run import RunSpec

GENERAL = "general"
HELD_OUT = "held_out"
CORRECTIONS = "corrections"
WAIVE = "waive"
FLAGGED_WORDS = "flagged_words"


def task_input(task: str) -> str:
    return f"task.{task}"


def held_out_input(task: str) -> str:
    """Held-out examples of one task."""
    return f"held_out.{task}"


def against_input(index: int) -> str:
    return f"against.{index}"


def metric_input(index: int) -> str:
    return f"metric.{index}"


def places(spec: RunSpec) -> dict[str, Path]:
    """Input name -> path of keys in run.yaml, for every external input that is given."""
    found: dict[str, Path] = {"model": ("model", "path"), **data_places(spec)}
    wanted = [] if spec.eval.metrics == "auto" else spec.eval.metrics
    own = [i for i, one in enumerate(wanted) if isinstance(one, UserMetric)]
    return found | {metric_input(i): ("eval", "metrics", i, "file") for i in own}


def data_places(spec: RunSpec) -> dict[str, Path]:
    """Those of the data stage, without the model."""
    data = spec.data
    found: dict[str, Path] = {}
    found |= {task_input(name): ("data", "tasks", name, "path") for name in data.tasks}
    found |= {GENERAL: ("data", "general", "path"), HELD_OUT: ("data", "held_out", "path")}
    found |= {held_out_input(name): ("data", "tasks", name, "held_out") for name in data.tasks}
    found |= {against_input(i): ("data", "decontaminate", "against", i) for i in range(len(data.decontaminate.against))}
    found[WAIVE] = ("data", "decontaminate", "waive")
    found[CORRECTIONS] = ("data", "corrections")
    found[FLAGGED_WORDS] = ("data", "clean", "flagged_words_file")
    return {name: place for name, place in found.items() if value_at(spec, place) is not None}


def value_at(document: Any, place: Path) -> Any:
    """The value at a path of keys; None if something on the way is not there."""
    for part in place:
        if document is None:
            return None
        if isinstance(document, dict):
            document = document.get(part)
        else:
            document = document[part] if isinstance(part, int) else getattr(document, part)
    return document
