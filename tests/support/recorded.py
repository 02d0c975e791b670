"""Scenes of a real cluster, as tests/support/kube_scenes.py has recorded them: tests/golden/kube/."""

import json
from dataclasses import dataclass
from pathlib import Path

from sftjobs.backend.base import JobStatus
from sftjobs.kube.api import Object
from sftjobs.kube.job_status import job_status
from sftjobs.kube.objects import is_over, unix
from sftjobs.kube.reasons import Reason, why_pending

GOLDEN = Path(__file__).parents[1] / "golden" / "kube"
NOW = 2_000_000_000.0


@dataclass
class Scene:
    job: Object
    pods: list[Object]
    events: list[Object]
    workload: Object | None

    def status(self, now: float = NOW) -> JobStatus:
        return job_status(self.job, self.pods, now)

    def after_grace(self, seconds: float) -> JobStatus:
        """As it is so long after its pods should have ended."""
        for pod in self.pods:
            pod["metadata"]["deletionTimestamp"] = "2026-12-01T00:00:00Z"
        return self.status((unix("2026-12-01T00:00:00Z") or 0.0) + seconds)

    def why(self) -> Reason:
        return why_pending(self.job, [pod for pod in self.pods if not is_over(pod)], self.events, self.workload)


def scene(name: str) -> Scene:
    return Scene(**json.loads((GOLDEN / f"{name}.json").read_text()))
