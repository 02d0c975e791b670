"""Does the cluster accept the Jobs? A dry run asks validation, webhooks and quotas of Jobs, and makes nothing."""

from sftjobs.kube.api import ApiError
from sftjobs.preflight.finding import Finding, failed, not_checked, ok
from sftjobs.preflight.ground import Ground

CHECK = "jobs"


def check_admission(ground: Ground) -> Finding:
    """Under names of its own: the controller may have made the real ones already."""
    for intent, job in ground.jobs:
        asked = {**job, "metadata": {**job["metadata"], "name": f"{job['metadata']['name']}-preflight"}}
        try:
            ground.release.api.create("jobs", asked, dry_run=True)
        except ApiError as error:
            if error.may_pass:
                return not_checked(CHECK, str(error), "run `helm test` again")
            todo = "correct the fields that the message names in cluster.yaml, or the quota or policy of the namespace"
            return failed(CHECK, f"stage {intent.plan.stage}: {error}", todo)
    return ok(CHECK, f"the cluster accepts the Jobs of all {len(ground.jobs)} stages")
