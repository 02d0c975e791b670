"""Kubernetes objects of a stage attempt, as plain dicts from pure functions.

The process backend executes the very same Job, so whatever this page says is what happens on a laptop too. Fields
that a newcomer would question have their reason beside them; `docs/failures.md` has the whole protocol.
"""

from typing import Any

from sftjobs import __version__, names
from sftjobs.attempts import Intent
from sftjobs.model import Document
from sftjobs.names import Exit
from sftjobs.plan.types import Kind, Resources
from sftjobs.spec.run import StoreSpec

USER_ID = 10001
"""User and group of every stage container; the images are built for it."""
JOB_TTL_S = 7 * 24 * 3600
"""Seconds that a finished Job stays visible. Nothing is lost with it: results and logs are in the store."""
AGENT_COMMAND = ["python", "-m", "sftjobs.agent"]


class OwnerReference(Document):
    """The ConfigMap of the release: deleting it deletes every Job of the run."""

    name: str
    uid: str


class JobSettings(Document):
    """What a Job needs beside the plan. The defaults serve `sftjobs plan -o yaml` and the process backend."""

    store: StoreSpec
    """Where the agent finds its stage plan and leaves the artifact."""
    images: dict[Kind, str] = {kind: f"sftjobs/{kind}:{__version__}" for kind in ("data", "train", "eval")}
    """Image of each kind of stage."""
    namespace: str = "default"
    secret: str = "sftjobs"
    """Secret with one key for every environment variable that the spec names as `{env: NAME}`."""
    service_account: str = "default"
    """It carries the identity for the bucket and has no rights in the cluster."""
    owner: OwnerReference | None = None


def build_job(intent: Intent, settings: JobSettings) -> dict[str, Any]:
    """The Job of one attempt."""
    resources = intent.plan.resources
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": intent.job,
            "namespace": settings.namespace,
            "labels": _labels(intent),
            "annotations": {
                names.ANNOTATION_RUN_ID: intent.run_id,
                names.ANNOTATION_STAGE_KEY: intent.plan.key,
            },
            **_owner(settings),
        },
        "spec": {
            "completionMode": "Indexed",  # each pod learns its node rank from JOB_COMPLETION_INDEX
            "completions": resources.nodes,
            "parallelism": resources.nodes,
            # An attempt is a whole group: another try is a new Job, never single pods that join a broken group.
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",  # no second pod of an index while the first one is still terminating
            "activeDeadlineSeconds": intent.plan.operation.stage_time_s,
            "ttlSecondsAfterFinished": JOB_TTL_S,
            "podFailurePolicy": {"rules": _failure_rules(intent.plan.stage)},
            "template": {
                "metadata": {"labels": _labels(intent), "annotations": dict(_STAY)},
                "spec": _pod(intent, settings),
            },
        },
    }


def build_service(intent: Intent, settings: JobSettings) -> dict[str, Any] | None:
    """The headless Service that gives the pods of a group their host names; None for a single node."""
    if intent.plan.resources.nodes == 1:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": intent.plan.run,
            "namespace": settings.namespace,
            "labels": {key: value for key, value in _labels(intent).items() if key in _RUN_LABELS},
            **_owner(settings),
        },
        "spec": {
            "clusterIP": "None",  # the name of each pod, not one address for all of them
            "publishNotReadyAddresses": True,  # peers must find each other before any of them can be ready
            "selector": {names.LABEL_RUN: intent.plan.run},
        },
    }


_RUN_LABELS = ("app.kubernetes.io/managed-by", names.LABEL_RUN)

_STAY = {
    # Moving a training pod to tidy up nodes costs the work since its last checkpoint.
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def _labels(intent: Intent) -> dict[str, str]:
    return {
        "app.kubernetes.io/managed-by": names.MANAGED_BY,
        names.LABEL_RUN: intent.plan.run,
        names.LABEL_STAGE: intent.plan.stage,
        names.LABEL_ATTEMPT: str(intent.attempt),
    }


def _owner(settings: JobSettings) -> dict[str, Any]:
    if settings.owner is None:
        return {}
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": settings.owner.name,
        "uid": settings.owner.uid,
        "controller": False,  # Kueue must not look at the owner instead of the Job
        "blockOwnerDeletion": False,  # would need rights on finalizers of the owner
    }
    return {"ownerReferences": [reference]}


def _failure_rules(container: str) -> list[dict[str, Any]]:
    permanent = [int(Exit.BAD_CONFIG), int(Exit.BAD_CHECKPOINT)]
    return [
        {  # a mistake of the user: the condition of the Job then names the exit code
            "action": "FailJob",
            "onExitCodes": {"containerName": container, "operator": "In", "values": permanent},
        },
        {  # preemption, drained node: the condition of the Job then says so, when the pods are already gone
            "action": "FailJob",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
    ]


def _pod(intent: Intent, settings: JobSettings) -> dict[str, Any]:
    resources = intent.plan.resources
    group = {"subdomain": intent.plan.run} if resources.nodes > 1 else {}
    return {
        "restartPolicy": "Never",  # OnFailure would lose the logs and bypass the failure rules
        **group,
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,  # a stage has no business with the API of the cluster
        "enableServiceLinks": False,  # no environment variables for the Services of others
        # Time for one step, a save and the upload of what is not uploaded yet.
        "terminationGracePeriodSeconds": intent.plan.operation.grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",  # no chown over a large volume at every start
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(intent, settings)],
        "volumes": [
            # NCCL and data loaders need more than the 64 MiB that a container gets; it counts as memory of the pod.
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{_shm_gib(resources)}Gi"}},
            {"name": "scratch", "emptyDir": {"sizeLimit": f"{resources.disk_gib}Gi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},  # the root file system is read-only
        ],
    }


def _container(intent: Intent, settings: JobSettings) -> dict[str, Any]:
    return {
        "name": intent.plan.stage,
        "image": settings.images[intent.plan.kind],
        "command": list(AGENT_COMMAND),  # process 1: it starts the program, sees its end and has the last word
        "env": _environment(intent, settings),
        "terminationMessagePath": names.TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "resources": _amounts(intent.plan.resources),
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "scratch", "mountPath": names.SCRATCH_MOUNT},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _environment(intent: Intent, settings: JobSettings) -> list[dict[str, Any]]:
    values = {
        names.ENV_STORE: settings.store.model_dump_json(exclude_none=True),
        names.ENV_RUN_ID: intent.run_id,
        names.ENV_STAGE: intent.plan.stage,
        names.ENV_ATTEMPT: str(intent.attempt),
        names.ENV_JOB_NAME: intent.job,
        names.ENV_WORKDIR: names.SCRATCH_MOUNT,
        names.ENV_TERMINATION_LOG: names.TERMINATION_LOG,
    }
    plain = [{"name": name, "value": value} for name, value in values.items()]
    secret = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": settings.secret, "key": name}}}
        for name in _secret_variables(intent, settings.store)
    ]
    return plain + secret


def _secret_variables(intent: Intent, store: StoreSpec) -> list[str]:
    """Environment variables that hold secrets: those of the store and those of the program."""
    keys = [item.env for item in (store.access_key, store.secret_key) if item is not None]
    return sorted({*keys, *intent.plan.operation.secrets.values()})


def _amounts(resources: Resources) -> dict[str, Any]:
    """Memory, disk and GPUs are limits that equal the requests; CPU has no limit, because throttling only slows."""
    fixed: dict[str, str | int] = {
        "memory": f"{resources.memory_gib}Gi",
        "ephemeral-storage": f"{resources.disk_gib + 1}Gi",  # 1 GiB for /tmp and the container's own log
    }
    if resources.gpus_per_node:
        fixed["nvidia.com/gpu"] = resources.gpus_per_node
    cpu = str(resources.processes_per_node * resources.threads_per_process)
    return {"requests": {"cpu": cpu, **fixed}, "limits": fixed}


def _shm_gib(resources: Resources) -> int:
    return max(1, resources.memory_gib // 4)
