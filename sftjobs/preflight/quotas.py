"""Quotas and limits of the namespace against what each stage asks for."""

from collections import defaultdict
from decimal import Decimal

from sftjobs.backend.base import Job
from sftjobs.kube.api import ApiError, Object, quantity
from sftjobs.kube.objects import name_of
from sftjobs.preflight.finding import Finding, failed, not_checked, ok
from sftjobs.preflight.ground import Ground

CHECK = "quotas"
Needs = defaultdict[str, Decimal]
_PLAIN = ("cpu", "memory", "ephemeral-storage")
"""In a quota, these without a prefix mean requests."""


def check_quotas(ground: Ground) -> Finding:
    """Each stage must fit alone. That others use the quota at the moment is no failure: stages wait for their turn."""
    try:
        quotas = ground.release.api.list("resourcequotas").items
        limits = ground.release.api.list("limitranges").items
    except ApiError as error:
        return not_checked(CHECK, str(error), "the preflight needs the right to list ResourceQuotas and LimitRanges")
    todo = "ask for less in run.yaml (resources) or cluster.yaml (cpu_per_thread), or have it raised"
    busy: list[str] = []
    for intent, job in ground.jobs:
        needs = needs_of(job)
        for quota in quotas:
            problem = _never_fits(quota, needs)
            if problem:
                return failed(CHECK, f"stage {intent.plan.stage}: ResourceQuota {name_of(quota)}: {problem}", todo)
            if _is_full(quota, needs):
                busy.append(f"{name_of(quota)} has no room for stage {intent.plan.stage} now")
        for limit in limits:
            problem = _beyond(limit, job)
            if problem:
                return failed(CHECK, f"stage {intent.plan.stage}: LimitRange {name_of(limit)}: {problem}", todo)
    if not quotas and not limits:
        return ok(CHECK, "the namespace has none")
    return ok(CHECK, "each stage fits" + (f"; it will wait: {busy[0]}" if busy else ""))


def needs_of(job: Job) -> Needs:
    """What a quota counts of a Job and all its pods."""
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    nodes = Decimal(spec["completions"])
    needs: Needs = defaultdict(Decimal, {"pods": nodes, "count/pods": nodes, "count/jobs.batch": Decimal(1)})
    for kind in ("requests", "limits"):
        for name, amount in container["resources"].get(kind, {}).items():
            needs[f"{kind}.{name}"] += nodes * quantity(str(amount))
    for name in _PLAIN:
        needs[name] = needs[f"requests.{name}"]
    return needs


def _never_fits(quota: Object, needs: Needs) -> str:
    if _is_for_others(quota):
        return ""
    for name, hard in quota.get("status", {}).get("hard", {}).items():
        if name == "limits.cpu":
            return "it wants a limit on CPU, and stage pods have none: take limits.cpu out of it"
        if needs[name] > quantity(hard):
            return f"{name} is {hard}, and the stage needs {_shown(needs[name])}"
    return ""


def _is_full(quota: Object, needs: Needs) -> bool:
    status = quota.get("status", {})
    return not _is_for_others(quota) and any(
        needs[name] > quantity(hard) - quantity(status.get("used", {}).get(name, "0"))
        for name, hard in status.get("hard", {}).items()
    )


def _is_for_others(quota: Object) -> bool:
    """A quota with a scope is for some pods only, e.g. of a priority; the images check meets it."""
    return bool(quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"))


def _beyond(limit: Object, job: Job) -> str:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    resources = container["resources"]
    for item in limit["spec"]["limits"]:
        if item["type"] not in ("Container", "Pod"):
            continue
        for name, most in item.get("max", {}).items():
            asked = resources["limits"].get(name, resources["requests"].get(name))
            if asked is not None and quantity(str(asked)) > quantity(most):
                return f"at most {most} of {name}, and the stage asks for {asked}"
        for name, least in item.get("min", {}).items():
            asked = resources["requests"].get(name)
            if asked is not None and quantity(str(asked)) < quantity(least):
                return f"at least {least} of {name}, and the stage asks for {asked}"
    return ""


def _shown(amount: Decimal) -> str:
    gib, rest = divmod(amount, 2**30)
    return f"{gib}Gi" if gib and not rest else f"{amount.normalize():f}"
