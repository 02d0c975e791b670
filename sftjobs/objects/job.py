"""The Job of one attempt."""

from typing import Any

from sftjobs import names
from sftjobs.attempts import Intent
from sftjobs.canonical import digest
from sftjobs.names import Exit
from sftjobs.objects.pod import build_pod
from sftjobs.objects.settings import JobSettings


def build_job(intent: Intent, settings: JobSettings) -> dict[str, Any]:
    """The Job of one attempt. Its name is deterministic, so making it twice makes it once."""
    resources, cluster = intent.plan.resources, settings.cluster
    labels = _labels(intent, settings)
    spec = {
        "completionMode": "Indexed",  # each pod learns its node rank from JOB_COMPLETION_INDEX
        "completions": resources.nodes,
        "parallelism": resources.nodes,
        # An attempt is a whole group: another try is a new Job, never single pods that join a broken group.
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",  # no second pod of an index while the first one is still terminating
        "activeDeadlineSeconds": intent.plan.operation.stage_time_s,
        "ttlSecondsAfterFinished": cluster.job_ttl_s,
        **({"suspend": True} if cluster.queue else {}),  # Kueue starts it when there is quota
        "podFailurePolicy": {"rules": _failure_rules(intent.plan.stage)},
        "template": {
            "metadata": {"labels": labels, "annotations": {**cluster.annotations, **_STAY}},
            "spec": build_pod(intent, settings),
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": intent.job,
            "namespace": settings.namespace,
            "labels": {**labels, **_queue(settings)},
            "annotations": {
                names.ANNOTATION_RUN_ID: intent.run_id,
                names.ANNOTATION_STAGE_KEY: intent.plan.key,
                names.ANNOTATION_SPEC_HASH: digest(spec),
            },
            **_owner(settings),
        },
        "spec": spec,
    }


_STAY = {
    # Moving a training pod to tidy up nodes costs the work since its last checkpoint.
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def _labels(intent: Intent, settings: JobSettings) -> dict[str, str]:
    return {
        **settings.cluster.labels,
        "app.kubernetes.io/managed-by": names.MANAGED_BY,
        names.LABEL_RUN: intent.plan.run,
        names.LABEL_STAGE: intent.plan.stage,
        names.LABEL_ATTEMPT: str(intent.attempt),
    }


def _queue(settings: JobSettings) -> dict[str, str]:
    queue = {names.LABEL_QUEUE: settings.cluster.queue, names.LABEL_QUEUE_PRIORITY: settings.cluster.queue_priority}
    return {label: value for label, value in queue.items() if value and settings.cluster.queue}


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
