"""How long a training of several pods takes to its first step, from what its processes have noted on this machine."""

import json
import time
from dataclasses import dataclass
from datetime import datetime

from sftjobs import names
from sftjobs.phases import Mark
from tests.support.cluster_run import ClusterRun
from tests.support.container_faults import ranks_of


@dataclass(frozen=True)
class FirstStep:
    """Seconds from the moment at which the last container ran."""

    agents: float
    """To the start of the first rank: inputs, meeting."""
    libraries: float
    """From there until the last rank had loaded its libraries."""
    step: float
    """To the end of the first step."""

    @property
    def rest(self) -> float:
        return self.step - self.libraries


def first_step(run: ClusterRun) -> FirstStep:
    """Of the newest attempt, while it runs; it began at the first step."""
    pods = run.until(lambda: len(found := run.pods("train")) == 2 and found, "two pods of train run")
    run.wait_for_step(1)
    started = max(_started(pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]) for pod in pods)
    ranks = ranks_of(run, "train")
    offset = time.time() - time.monotonic()
    loaded, done = 0.0, 0.0
    for pod in pods:
        shown = run.exec(pod["metadata"]["name"], "sh", "-c", f"cat {names.SCRATCH_MOUNT}/errors/phase-*.json")
        marks = [Mark.model_validate_json(part + "}") for part in shown.split("}") if part.strip()]
        loaded = max(loaded, *(mark.began + offset for mark in marks))
        lines = run.exec(pod["metadata"]["name"], "cat", f"{names.SCRATCH_MOUNT}/progress.jsonl").splitlines()
        steps = [line for line in map(json.loads, lines) if line["phase"] == "train" and line["step"] == 1]
        done = max([done, *(line["t"] for line in steps)])
    begun = min(process.create_time() for process in ranks.values())
    return FirstStep(begun - started, loaded - begun, done - started)


def _started(shown: str) -> float:
    """Unix time; the API shows whole seconds."""
    return datetime.fromisoformat(shown).timestamp()
