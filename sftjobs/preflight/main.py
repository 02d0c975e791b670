"""All checks, one line each. Exit code 0 if nothing has failed, 10 if something has."""

import os
import sys
from collections.abc import Generator, Iterator, Mapping

from sftjobs import names
from sftjobs.errors import SftError
from sftjobs.kube.api import Api, ApiError, in_cluster
from sftjobs.names import Exit
from sftjobs.preflight.admission import check_admission
from sftjobs.preflight.finding import Finding, failed, not_checked
from sftjobs.preflight.gpus import check_gpus
from sftjobs.preflight.ground import Ground
from sftjobs.preflight.images import check_images
from sftjobs.preflight.permissions import check_permissions
from sftjobs.preflight.queues import check_queue
from sftjobs.preflight.quotas import check_quotas
from sftjobs.preflight.release import check_inputs, check_run, check_store
from sftjobs.release.release import Release, read_release

RELEASE = "release"
_INDENT = " " * 26
LATER = ("quotas", "gpus", "jobs", "images")
"""Checks that need the plan of the run."""


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Check the release that the environment names; returns the exit code."""
    release = environ[names.ENV_RELEASE]
    try:
        api = in_cluster(environ[names.ENV_NAMESPACE])
    except ApiError as error:
        return report(iter([failed(RELEASE, str(error), "this runs in a pod of the chart: `helm test`")]))
    return report(checks(api, release))


def report(findings: Iterator[Finding]) -> int:
    """Print findings as they come, and how many there were of each."""
    counts = {"ok": 0, "failed": 0, "not checked": 0}
    for finding in findings:
        counts[finding.state] += 1
        first, *more = finding.text.splitlines() or [""]
        lines = [f"{finding.state:12} {finding.check:12} {first}", *(_INDENT + line for line in more)]
        print("\n".join(lines + ([f"{_INDENT}-> {finding.todo}"] if finding.todo else [])), flush=True)
    print(", ".join(f"{count} {state}" for state, count in counts.items() if count or state != "not checked"))
    sys.stdout.flush()
    return int(Exit.BAD_CONFIG) if counts["failed"] else 0


def checks(api: Api, name: str) -> Iterator[Finding]:
    """The findings about a release, the quick ones first."""
    try:
        release = read_release(api, name)
    except SftError as error:
        yield failed(RELEASE, str(error), "`helm upgrade --install` the release with the chart of this version")
        return
    except ApiError as error:
        yield failed(RELEASE, str(error), "is the API server reached from pods? See proxy.no_proxy in cluster.yaml")
        return
    yield check_permissions(release)
    yield check_queue(release)
    ground = yield from _ground(release)
    if ground is None:
        yield from (not_checked(check, "the run is not planned") for check in LATER)
        return
    yield check_quotas(ground)
    yield check_gpus(ground)
    yield check_admission(ground)
    yield from check_images(ground)


def _ground(release: Release) -> Generator[Finding, None, Ground | None]:
    """Yields what is found about the run itself; returns the ground of the other checks, if there is one."""
    finding, loaded = check_run(release)
    yield finding
    if loaded is None:
        return None
    finding, store = check_store(release, loaded)
    yield finding
    if store is None:
        return None
    finding, plan = check_inputs(release, loaded, store)
    yield finding
    return Ground(release, loaded, store, plan) if plan is not None else None
