"""The pod of a stage: where it goes, what it may do, what it gets."""

from typing import Any

from sftjobs import names
from sftjobs.attempts import Intent
from sftjobs.objects.environment import mounts, variables, volumes
from sftjobs.objects.settings import JobSettings, pod_settings
from sftjobs.plan.types import Resources
from sftjobs.spec.cluster import ClusterSpec

GPU = "nvidia.com/gpu"
AGENT_COMMAND = ["python", "-m", "sftjobs.agent"]
END_MARGIN_S = 15
"""Seconds of the pod's grace beyond the agent's own: it lets go of the LEASE and has its last word in peace."""


def build_pod(intent: Intent, settings: JobSettings) -> dict[str, Any]:
    """`spec` of the pod template."""
    cluster = settings.cluster
    where = pod_settings(cluster, intent.plan.kind)
    account = getattr(cluster.service_accounts, intent.plan.kind)
    optional = {
        "subdomain": names.service_name(intent.plan.run) if intent.plan.resources.nodes > 1 else None,
        "nodeSelector": where.node_selector,
        "tolerations": where.tolerations,
        "affinity": where.affinity,
        "runtimeClassName": where.runtime_class,
        "priorityClassName": cluster.priority_class,
        "schedulerName": cluster.scheduler,
        "imagePullSecrets": [{"name": name} for name in cluster.images.pull_secrets],
    }
    return {
        "restartPolicy": "Never",  # OnFailure would lose the logs and bypass the failure rules
        **{key: value for key, value in optional.items() if value},
        "serviceAccountName": account.name or names.service_account_name(intent.plan.run, intent.plan.kind),
        "automountServiceAccountToken": False,  # a stage has no business with the API of the cluster
        "enableServiceLinks": False,  # no environment variables for the Services of others
        # Time for one step, a save and the upload of what is not uploaded yet.
        "terminationGracePeriodSeconds": intent.plan.operation.grace_s + END_MARGIN_S,
        "securityContext": _security(cluster),
        "containers": [_container(intent, settings)],
        "volumes": volumes(intent, settings),
    }


def _security(cluster: ClusterSpec) -> dict[str, Any]:
    """The `restricted` profile. Without a user of ours the namespace gives one (OpenShift)."""
    user = cluster.security.user
    fixed = {
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",  # no chown over a large volume at every start
    }
    return {
        "runAsNonRoot": True,
        **({} if cluster.security.any_user else fixed),
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container(intent: Intent, settings: JobSettings) -> dict[str, Any]:
    images = settings.cluster.images
    return {
        "name": intent.plan.stage,
        "image": getattr(images, intent.plan.kind),
        "imagePullPolicy": images.pull_policy,
        "command": list(AGENT_COMMAND),  # process 1: it starts the program, sees its end and has the last word
        "env": variables(intent, settings),
        "terminationMessagePath": names.TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        # No probes: a long step or compile is no failure; the agent watches progress, not liveness.
        "resources": _amounts(intent.plan.resources, settings.cluster),
        "volumeMounts": mounts(intent, settings),
    }


def _amounts(resources: Resources, cluster: ClusterSpec) -> dict[str, Any]:
    """Memory, disk and GPUs are limits that equal the requests; CPU has no limit, because throttling only slows."""
    fixed: dict[str, str | int] = {
        "memory": f"{resources.memory_gib}Gi",
        "ephemeral-storage": f"{resources.disk_gib + 1}Gi",  # 1 GiB for /tmp and the container's own log
    }
    if resources.gpus_per_node:
        fixed[GPU] = resources.gpus_per_node
    millis = round(1000 * resources.processes_per_node * resources.threads_per_process * cluster.cpu_per_thread)
    cpu = f"{millis}m" if millis % 1000 else str(millis // 1000)
    return {"requests": {"cpu": cpu, **fixed}, "limits": fixed}
