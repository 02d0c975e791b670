"""Nodes with enough GPUs for the stages that ask for some."""

from collections.abc import Mapping, Sequence
from typing import Any

from sftjobs.kube.api import ApiError, Object
from sftjobs.kube.objects import name_of
from sftjobs.objects.pod import GPU
from sftjobs.preflight.finding import Finding, failed, not_checked, ok
from sftjobs.preflight.ground import Ground

CHECK = "gpus"


def check_gpus(ground: Ground) -> Finding:
    """Nodes are not of the namespace: whether they may be listed is up to whoever runs the cluster."""
    api, stages = ground.release.api, {}
    for intent, job in ground.jobs:
        pod = job["spec"]["template"]["spec"]
        if GPU in pod["containers"][0]["resources"]["limits"]:
            stages[intent.plan.stage] = (pod, job["spec"]["completions"])
    if not stages:
        return ok(CHECK, "no stage asks for any")
    try:
        if not api.may("list", "nodes", everywhere=True):
            return not_checked(CHECK, "this account may not list nodes", "`kubectl describe nodes` shows what there is")
        nodes = api.list("nodes").items
    except ApiError as error:
        return not_checked(CHECK, str(error), "run `helm test` again")
    for stage, (pod, count) in stages.items():
        problem = _problem(nodes, pod, count)
        if problem:
            todo = "correct node_selector or tolerations (pods) of cluster.yaml, or resources of run.yaml"
            return failed(CHECK, f"stage {stage}: {problem}", todo)
    return ok(CHECK, f"there are nodes for: {', '.join(stages)}")


def _problem(nodes: Sequence[Object], pod: Mapping[str, Any], count: int) -> str:
    """Why so many pods find no node, even in an empty cluster; empty if they do."""
    wanted = int(pod["containers"][0]["resources"]["limits"][GPU])
    selector = pod.get("nodeSelector", {})
    chosen = [n for n in nodes if selector.items() <= n["metadata"].get("labels", {}).items() and not _is_closed(n)]
    large = [node for node in chosen if _gpus(node) >= wanted]
    open_ = [node for node in large if not _untolerated(node, pod.get("tolerations", []))]
    room = sum(_gpus(node) // wanted for node in open_)
    if room >= count:
        return ""
    if not chosen:
        return f"no node that takes pods has the labels {selector}" if selector else "no node takes pods"
    if not large:
        most = max(_gpus(node) for node in chosen)
        return f"it asks for {wanted} GPUs per node, and the largest of {len(chosen)} nodes has {most}"
    if not open_:
        node = large[0]
        return f"node {name_of(node)} has the taint {_untolerated(node, pod.get('tolerations', []))[0]}, not tolerated"
    return f"it asks for {count} nodes with {wanted} GPUs, and there is room for {room}"


def _gpus(node: Object) -> int:
    return int(node.get("status", {}).get("allocatable", {}).get(GPU, 0))


def _is_closed(node: Object) -> bool:
    return bool(node.get("spec", {}).get("unschedulable"))


def _untolerated(node: Object, tolerations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Taints that keep the pod away. Many clusters tolerate one that is named like the resource by themselves."""
    found = node.get("spec", {}).get("taints", [])
    taints = [taint for taint in found if taint["effect"] != "PreferNoSchedule" and taint["key"] != GPU]
    return [taint["key"] for taint in taints if not any(_tolerates(toleration, taint) for toleration in tolerations)]


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same = toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", "")
    return bool(same)
