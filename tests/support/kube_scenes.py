"""What a real cluster says about Jobs in trouble, recorded for tests: `python -m tests.support.kube_scenes [NAME...]`.

Every scene is a Job of `build_job` whose agent is a shell script, brought into one situation on the cluster of
tests/support/lab.py. What the API shows then goes to tests/golden/kube/, without what belongs to one machine. Images
that cannot be pulled come from a registry on this machine (containerd talks plain HTTP to localhost).
"""

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftjobs import names
from sftjobs.kube.api import from_kubeconfig
from sftjobs.objects import JobSettings, build_job
from sftjobs.plan.types import Operation, Resources
from sftjobs.spec.cluster import ClusterSpec, ImagesSpec
from sftjobs.spec.run import StoreSpec
from tests.support.chains import intent
from tests.support.kube_surroundings import QUEUE, REGISTRY, registry, surroundings
from tests.support.lab import Cluster, Object, find_cluster

GOLDEN = Path(__file__).parents[1] / "golden" / "kube"
IMAGE = "lab.local/base:bookworm-py311"
PATIENCE_S = 120.0
SAY = f"""printf %%s '{{"failure": "%s", "code": %d, "step": 7}}' > ${names.ENV_TERMINATION_LOG}; exit %d"""
SLEEP = "while :; do sleep 0.1; done"
LISTEN = f"trap 'sleep 2; exit 20' TERM; {SLEEP}"


@dataclass
class Seen:
    """What the API shows about one Job."""

    job: Object
    pods: list[Object]
    events: list[Object]
    workload: Object | None

    def condition(self, kind: str) -> bool:
        found = self.job.get("status", {}).get("conditions", [])
        return any(item["type"] == kind and item["status"] == "True" for item in found)

    @property
    def ended(self) -> bool:
        over = all(pod["status"].get("phase") in ("Succeeded", "Failed") for pod in self.pods)
        return over and (self.condition("Failed") or self.condition("Complete"))

    @property
    def running(self) -> bool:
        return bool(self.pods) and all(pod["status"].get("phase") == "Running" for pod in self.pods)

    def waits(self, *reasons: str) -> bool:
        states = [s.get("state", {}) for pod in self.pods for s in pod["status"].get("containerStatuses", [])]
        return bool(states) and all(state.get("waiting", {}).get("reason") in reasons for state in states)

    def said(self, reason: str) -> bool:
        return any(event.get("reason") == reason for event in self.events)


@dataclass
class Scene:
    """A Job, what is done to it, and when it is recorded."""

    name: str
    script: str
    until: Callable[[Seen], bool]
    change: Callable[[Object], None] = lambda job: None
    """Of the Job before it is made."""
    then: Callable[["Stage", str], None] | None = None
    """What is done once its pods run."""
    nodes: int = 1
    operation: dict[str, Any] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)
    namespace: str = "plain"


class Stage:
    """The namespaces of a recording."""

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self.cluster = cluster
        self.prefix = prefix

    def place(self, scene: Scene) -> str:
        return f"{self.prefix}-{scene.namespace}"

    def see(self, namespace: str, job: str) -> Seen:
        api = from_kubeconfig(namespace=namespace)
        found = api.get("jobs", job)
        pods = api.list("pods", f"batch.kubernetes.io/job-name={job}").items
        subjects = {job, *(pod["metadata"]["name"] for pod in pods)}
        events = [e for e in api.list("events").items if e["involvedObject"]["name"] in subjects]
        loads = api.list("workloads", f"kueue.x-k8s.io/job-uid={found['metadata']['uid']}").items
        return Seen(found, pods, events, loads[0] if loads else None)

    def record(self, scene: Scene) -> None:
        namespace = self.place(scene)
        api = from_kubeconfig(namespace=namespace)
        job = scene_job(scene, namespace)
        name = job["metadata"]["name"]
        api.create("jobs", job)
        if scene.then is not None:
            self.wait(namespace, name, lambda seen: seen.running)
            scene.then(self, name)
        seen = self.wait(namespace, name, scene.until)
        text = json.dumps(trimmed(seen), indent=1, sort_keys=True, ensure_ascii=False)
        (GOLDEN / f"{scene.name}.json").write_text(_RESOLVER.sub("on 10.0.0.53:53", text) + "\n")
        api.delete("jobs", name)
        self.cluster.kubectl("delete", "pods", "-n", namespace, "-l", f"job-name={name}", "--force", "--grace-period=0")
        print(f"{scene.name}: recorded", flush=True)

    def wait(self, namespace: str, job: str, until: Callable[[Seen], bool]) -> Seen:
        deadline = time.monotonic() + PATIENCE_S
        while not until(seen := self.see(namespace, job)):
            assert time.monotonic() < deadline, json.dumps(trimmed(seen), indent=1)
            time.sleep(0.3)
        return seen


def scene_job(scene: Scene, namespace: str) -> Object:
    """The Job of the scene, small enough for any machine."""
    asked = intent("train")
    resources = Resources(nodes=scene.nodes, threads_per_process=1, memory_gib=1, disk_gib=1)
    plan = asked.plan.model_copy(
        update={"resources": resources, "operation": Operation(**{"grace_s": 5, **scene.operation})}
    )
    images = ImagesSpec(data=IMAGE)
    cluster = ClusterSpec(**{"images": images, "cpu_per_thread": 0.02, **scene.cluster})
    store = StoreSpec(uri="s3://bucket/prefix")
    job = build_job(
        asked.model_copy(update={"plan": plan, "job": f"s-{scene.name}"}),
        JobSettings(store=store, cluster=cluster, namespace=namespace),
    )
    pod_of(job)["serviceAccountName"] = "default"
    container_of(job)["command"] = ["sh", "-c", scene.script]
    container_of(job)["resources"] = {"limits": {"memory": "64Mi", "ephemeral-storage": "64Mi"}}
    container_of(job)["resources"]["requests"] = {"cpu": "10m"}
    scene.change(job)
    return job


def pod_of(job: Object) -> Any:
    return job["spec"]["template"]["spec"]


def container_of(job: Object) -> Any:
    return pod_of(job)["containers"][0]


# --- what is changed, and what is done --------------------------------------------------------------------------------
def image(name: str, policy: str = "IfNotPresent") -> Callable[[Object], None]:
    def change(job: Object) -> None:
        container_of(job).update(image=name, imagePullPolicy=policy)

    return change


def wants_gpus(job: Object) -> None:
    container_of(job)["resources"]["limits"]["nvidia.com/gpu"] = 64


def uses_secret(job: Object) -> None:
    source = {"secretKeyRef": {"name": "sftjobs", "key": "HF_TOKEN"}}
    container_of(job)["env"].append({"name": "HF_TOKEN", "valueFrom": source})


def mounts_missing(job: Object) -> None:
    pod_of(job)["volumes"].append({"name": "ca", "configMap": {"name": "company-ca"}})
    container_of(job)["volumeMounts"].append({"name": "ca", "mountPath": names.CA_MOUNT})


def mounts_host(job: Object) -> None:
    pod_of(job)["volumes"].append({"name": "cache", "hostPath": {"path": "/var/cache/sftjobs"}})


def has_no_account(job: Object) -> None:
    pod_of(job)["serviceAccountName"] = "nobody"


def is_no_program(job: Object) -> None:
    container_of(job)["command"] = ["/no/such/program"]


def small_volume(job: Object) -> None:
    next(v for v in pod_of(job)["volumes"] if v["name"] == "scratch")["emptyDir"]["sizeLimit"] = "8Mi"


def ends_soon(job: Object) -> None:
    job["spec"]["activeDeadlineSeconds"] = 3


def wants_much(job: Object) -> None:
    container_of(job)["resources"]["requests"]["cpu"] = "9"


def pods_of(stage: Stage, namespace: str, job: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in stage.see(namespace, job).pods]


def delete_pod(stage: Stage, job: str) -> None:
    namespace = f"{stage.prefix}-plain"
    stage.cluster.kubectl("delete", "pod", "-n", namespace, pods_of(stage, namespace, job)[0])


def evict(stage: Stage, job: str) -> None:
    """As a drain does it."""
    namespace = f"{stage.prefix}-plain"
    for name in pods_of(stage, namespace, job):
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
        stage.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def delete_job(stage: Stage, job: str) -> None:
    stage.cluster.kubectl("delete", "job", "-n", f"{stage.prefix}-plain", job, "--cascade=foreground", "--wait=false")


def preempt(stage: Stage, job: str) -> None:
    namespace = f"{stage.prefix}-queued"
    load = stage.see(namespace, job).workload
    assert load is not None
    stage.cluster.kubectl(
        *("patch", "workload", "-n", namespace, load["metadata"]["name"]),
        *("--type=merge", "-p", '{"spec": {"active": false}}'),
    )


QUEUED: dict[str, Any] = {"namespace": "queued", "cluster": {"queue": QUEUE}}
BACK_OFF = ("ImagePullBackOff",)
SCENES = [
    Scene("complete", SAY % ("committed", 0, 0), lambda s: s.ended),
    Scene("running", SLEEP, lambda s: s.running),
    Scene("exit-1", "echo no module named x; exit 1", lambda s: s.ended),
    Scene("exit-10", "echo bad config; exit 10", lambda s: s.ended),
    Scene("exit-20-said", SAY % ("stopped", 20, 20), lambda s: s.ended),
    Scene("exit-137", "exit 137", lambda s: s.ended),
    Scene("exit-139", "echo before; exit 139", lambda s: s.ended),
    Scene("oom-killed", "exec python -c 'bytearray(10**9)'", lambda s: s.ended),
    Scene("oom-of-a-child", f"python -c 'bytearray(10**9)'; {SAY % ('out_of_memory', 1, 1)}", lambda s: s.ended),
    Scene("oom-of-a-child-unsaid", "python -c 'bytearray(10**9)'; exit 21", lambda s: s.ended),
    Scene("start-error", "", lambda s: s.ended, is_no_program),
    Scene("deadline", LISTEN, lambda s: s.condition("Failed"), ends_soon),
    Scene("group-first-failure",
          f"if [ $JOB_COMPLETION_INDEX = 1 ]; then sleep 3; {SAY % ('hang', 22, 22)}; fi; {LISTEN}",
          lambda s: s.condition("Failed"), nodes=2),
    Scene("pod-deleted", LISTEN, lambda s: s.condition("Failed"), then=delete_pod, nodes=2),
    Scene("evicted-by-the-api", LISTEN, lambda s: s.condition("Failed"), then=evict),
    Scene("being-deleted", LISTEN, lambda s: "deletionTimestamp" in s.job["metadata"], then=delete_job),
    Scene("evicted-volume-too-large", f"head -c 20000000 /dev/zero > /scratch/x; {SLEEP}", lambda s: s.ended,
          small_volume),
    Scene("evicted-log-too-large", f"head -c 99000000 /dev/zero | tr '\\0' 'x' | fold -w 1000; {SLEEP}",
          lambda s: s.ended),
    Scene("unschedulable", SLEEP, lambda s: s.said("FailedScheduling"), wants_gpus),
    Scene("image-not-found", SLEEP, lambda s: s.waits(*BACK_OFF), image(f"{REGISTRY}/missing:1")),
    Scene("image-denied", SLEEP, lambda s: s.waits(*BACK_OFF), image(f"{REGISTRY}/denied:1")),
    Scene("image-registry-busy", SLEEP, lambda s: s.waits(*BACK_OFF), image(f"{REGISTRY}/busy:1")),
    Scene("image-registry-broken", SLEEP, lambda s: s.waits(*BACK_OFF), image(f"{REGISTRY}/broken:1")),
    Scene("image-registry-away", SLEEP, lambda s: s.waits(*BACK_OFF), image("localhost:1/train:1")),
    Scene("image-unknown-host", SLEEP, lambda s: s.waits(*BACK_OFF), image("registry.invalid/train:1")),
    Scene("image-first-failure", SLEEP, lambda s: s.waits("ErrImagePull"), image(f"{REGISTRY}/missing:2")),
    Scene("image-never-pulled", SLEEP, lambda s: s.waits("ErrImageNeverPull"), image("sftjobs/none:1", "Never")),
    Scene("image-invalid-name", SLEEP, lambda s: s.waits("InvalidImageName"), image("Sftjobs/None:1")),
    Scene("secret-key-missing", SLEEP, lambda s: s.waits("CreateContainerConfigError"), uses_secret),
    Scene("volume-missing", SLEEP, lambda s: s.said("FailedMount"), mounts_missing),
    Scene("quota-exceeded", SLEEP, lambda s: s.said("FailedCreate"), namespace="quota"),
    Scene("quota-needs-limits", SLEEP, lambda s: s.said("FailedCreate"), namespace="limits"),
    Scene("pod-security", SLEEP, lambda s: s.said("FailedCreate"), mounts_host),
    Scene("account-missing", SLEEP, lambda s: s.said("FailedCreate"), has_no_account),
    Scene("limit-range", SLEEP, lambda s: s.said("FailedCreate"), namespace="range"),
    Scene("queue-no-quota", SLEEP, lambda s: s.workload is not None and bool(s.workload.get("status")), wants_much,
          **QUEUED),
    Scene("queue-missing", SLEEP, lambda s: s.workload is not None and bool(s.workload.get("status")),
          namespace="queued", cluster={"queue": "nowhere"}),
    Scene("preempted-saving", LISTEN, lambda s: bool(s.job["spec"].get("suspend")), then=preempt, **QUEUED),
    Scene("preempted", LISTEN, lambda s: bool(s.job["spec"].get("suspend")) and not s.pods, then=preempt, **QUEUED),
]  # fmt: skip


# --- what is not of one machine ---------------------------------------------------------------------------------------
def trimmed(seen: Seen) -> Object:
    """What the project reads, and what a newer version may want to read."""
    return {
        "job": {"metadata": _metadata(seen.job), "spec": _job_spec(seen.job), "status": seen.job.get("status", {})},
        "pods": [{"metadata": _metadata(p), "spec": _pod_spec(p["spec"]), "status": _status(p)} for p in seen.pods],
        "events": [
            {key: event[key] for key in _EVENT if key in event}
            | {"involvedObject": {key: event["involvedObject"][key] for key in ("kind", "name")}}
            for event in seen.events
        ],
        "workload": None
        if seen.workload is None
        else {"metadata": _metadata(seen.workload), "status": seen.workload.get("status", {})},
    }


_RESOLVER = re.compile(r"on [0-9.]+:53")
_EVENT = ("count", "eventTime", "lastTimestamp", "message", "reason", "series", "type")
_METADATA = ("annotations", "creationTimestamp", "deletionTimestamp", "labels", "name")
_JOB_SPEC = ("activeDeadlineSeconds", "completions", "parallelism", "suspend")


def _metadata(thing: Object) -> Object:
    return {key: thing["metadata"][key] for key in _METADATA if key in thing["metadata"]}


def _job_spec(job: Object) -> Object:
    return {key: job["spec"][key] for key in _JOB_SPEC if key in job["spec"]}


def _pod_spec(spec: Object) -> Object:
    return {"containers": [{"name": c["name"], "image": c["image"]} for c in spec["containers"]]}


def _status(pod: Object) -> Object:
    drop = ("hostIP", "hostIPs", "podIP", "podIPs")
    status = {key: value for key, value in pod.get("status", {}).items() if key not in drop}
    for item in status.get("containerStatuses", []):
        for key in ("containerID", "imageID", "volumeMounts", "user", "allocatedResources", "resources"):
            item.pop(key, None)
        for state in item.get("state", {}).values():
            state.pop("containerID", None)
    return status


def main(only: list[str]) -> None:
    """Record all scenes, or those that are named."""
    cluster = find_cluster()
    stage = Stage(cluster, "pf-scenes")
    objects = surroundings(stage.prefix)
    cluster.apply(*[item for item in objects if item["kind"] == "Namespace"])
    cluster.apply(*objects)
    time.sleep(3)  # the default ServiceAccount of a new namespace
    try:
        with registry():
            for scene in SCENES:
                if not only or scene.name in only:
                    stage.record(scene)
    finally:
        for item in [o for o in objects if o["kind"] in ("Namespace", "ClusterQueue", "ResourceFlavor")]:
            cluster.kubectl("delete", item["kind"], item["metadata"]["name"], "--timeout=90s", check=False)


if __name__ == "__main__":
    main(sys.argv[1:])
