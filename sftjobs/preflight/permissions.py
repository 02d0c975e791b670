"""May the controller do what it does? Its Role is the chart's, but an account may be named by cluster.yaml."""

from dataclasses import dataclass

from sftjobs import names
from sftjobs.kube.api import ApiError
from sftjobs.preflight.finding import Finding, failed, not_checked, ok
from sftjobs.release.release import Release

CHECK = "permissions"


@dataclass(frozen=True)
class Right:
    """Verbs on one resource."""

    verbs: tuple[str, ...]
    resource: str
    group: str = ""
    names: tuple[str, ...] = ("",)


def rights_of(release: str, *, queue: bool) -> list[Right]:
    """What the controller of a release asks the API server for."""
    found = [
        Right(("get", "list", "watch", "create", "delete"), "jobs", "batch"),
        Right(("list", "watch"), "pods"),
        Right(("list",), "events"),
        Right(("get",), "configmaps", names=(names.anchor_name(release), names.run_config_name(release))),
    ]
    return [*found, Right(("list",), "workloads", "kueue.x-k8s.io")] if queue else found


def check_permissions(release: Release) -> Finding:
    """Asks on behalf of the controller's account, which needs a right of its own (LocalSubjectAccessReview)."""
    if not release.cluster.controller.enabled:
        return not_checked(CHECK, "the controller is not in the cluster; it has the rights of whoever runs it")
    role = names.service_account_name(release.name, "controller")
    account = release.cluster.service_accounts.controller.name or role
    try:
        missing = [
            f"{verb} {right.resource}" + (f"/{name}" if name else "")
            for right in rights_of(release.name, queue=release.cluster.queue is not None)
            for verb in right.verbs
            for name in right.names
            if not release.api.may_account(account, verb, right.resource, right.group, name)
        ]
    except ApiError as error:
        todo = "whoever installs needs the right to create LocalSubjectAccessReviews; the role `admin` has it"
        return not_checked(CHECK, str(error), todo)
    if missing:
        text = f"ServiceAccount {account} may not: {', '.join(missing)}"
        return failed(CHECK, text, f"bind ServiceAccount {account} to Role {role}, as the chart does")
    return ok(CHECK, f"ServiceAccount {account} may do all that the controller does")
