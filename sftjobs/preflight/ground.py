"""What the checks look at."""

from dataclasses import dataclass
from functools import cached_property

from sftjobs.attempts import Intent
from sftjobs.backend.base import Job
from sftjobs.objects import JobSettings, build_job
from sftjobs.objects.settings import store_in_cluster
from sftjobs.plan.preview import preview
from sftjobs.plan.types import RunPlan
from sftjobs.release.release import Release
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.spec.load import Loaded
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store


@dataclass(frozen=True)
class Ground:
    """The release of a run that can be planned."""

    release: Release
    loaded: Loaded
    store: Store
    plan: RunPlan

    @property
    def cluster(self) -> ClusterSpec:
        return self.release.cluster

    @cached_property
    def jobs(self) -> list[tuple[Intent, Job]]:
        """The first Job of every stage, as the controller would make it; what is known later is missing in it."""
        spec = self.loaded.spec.store
        assert isinstance(spec, StoreSpec)
        settings = JobSettings(
            store=store_in_cluster(spec, self.cluster),
            cluster=self.cluster,
            namespace=self.release.api.namespace,
            owner=self.release.owner,
        )
        return [(intent, build_job(intent, settings)) for intent in preview(self.plan, self.store)]
