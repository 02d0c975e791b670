"""What the container of a stage sees: environment variables and mounted folders."""

from typing import Any

from sftjobs import names
from sftjobs.attempts import Intent
from sftjobs.objects.settings import JobSettings, pod_settings
from sftjobs.plan.types import Resources
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.spec.run import StoreSpec

CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")
"""One for each library that reads certificates its own way."""


def variables(intent: Intent, settings: JobSettings) -> list[dict[str, Any]]:
    """`env` of the container. Secrets are references, never values."""
    cluster = settings.cluster
    mine = pod_settings(cluster, intent.plan.kind)
    values = {
        **shared_variables(cluster),
        **mine.env,
        names.ENV_STORE: settings.store.model_dump_json(exclude_none=True),
        names.ENV_RUN_ID: intent.run_id,
        names.ENV_STAGE: intent.plan.stage,
        names.ENV_ATTEMPT: str(intent.attempt),
        names.ENV_JOB_NAME: intent.job,
        names.ENV_WORKDIR: names.SCRATCH_MOUNT,
        names.ENV_TERMINATION_LOG: names.TERMINATION_LOG,
    }
    if intent.plan.resources.nodes > 1:  # the pods of an Indexed Job are named by their index, in the headless Service
        host = f"{intent.job}-0.{names.service_name(intent.plan.run)}"
        values[names.ENV_LEADER] = f"{host}:{names.AGENT_PORT}"
    if cluster.node_cache is not None:
        values |= {names.ENV_CACHE: names.CACHE_MOUNT, names.ENV_CACHE_GIB: str(cluster.node_cache.max_gib)}
    if mine.secret_env:
        values[names.ENV_SECRETS] = ",".join(mine.secret_env)  # so that the agent keeps them out of logs
    secret = sorted({*_secret_variables(intent, settings.store), *mine.secret_env})
    references = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": cluster.secret, "key": name}}} for name in secret
    ]
    return [{"name": name, "value": value} for name, value in values.items()] + references


def shared_variables(cluster: ClusterSpec) -> dict[str, str]:
    """Proxy, certificates and hub: the chart gives the controller the same."""
    found: dict[str, str] = {}
    if cluster.proxy.http or cluster.proxy.https:
        pairs = {
            "HTTP_PROXY": cluster.proxy.http,
            "HTTPS_PROXY": cluster.proxy.https,
            "NO_PROXY": cluster.proxy.no_proxy,
        }
        set_ = {name: value for name, value in pairs.items() if value}
        found |= set_ | {name.lower(): value for name, value in set_.items()}  # some libraries read only one of the two
    if cluster.ca_bundle is not None:
        found |= dict.fromkeys(CA_VARIABLES, f"{names.CA_MOUNT}/{cluster.ca_bundle.key}")
    if cluster.hub.endpoint:
        found["HF_ENDPOINT"] = cluster.hub.endpoint
    return found


def volumes(intent: Intent, settings: JobSettings) -> list[dict[str, Any]]:
    """`volumes` of the pod."""
    cluster, resources = settings.cluster, intent.plan.resources
    found: list[dict[str, Any]] = [
        # NCCL and data loaders need more than the 64 MiB that a container gets; it counts as memory of the pod.
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{_shm_gib(resources)}Gi"}},
        {"name": "scratch", "emptyDir": {"sizeLimit": f"{resources.disk_gib}Gi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},  # the root file system is read-only
    ]
    if cluster.ca_bundle is not None:
        found.append({"name": "ca", "configMap": {"name": cluster.ca_bundle.config_map}})
    if cluster.node_cache is not None:
        found.append({"name": "cache", **_cache_source(cluster)})
    return found + pod_settings(cluster, intent.plan.kind).volumes


def mounts(intent: Intent, settings: JobSettings) -> list[dict[str, Any]]:
    """`volumeMounts` of the container."""
    cluster = settings.cluster
    found: list[dict[str, Any]] = [
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "scratch", "mountPath": names.SCRATCH_MOUNT},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if cluster.ca_bundle is not None:
        found.append({"name": "ca", "mountPath": names.CA_MOUNT, "readOnly": True})
    if cluster.node_cache is not None:
        found.append({"name": "cache", "mountPath": names.CACHE_MOUNT})
    return found + pod_settings(cluster, intent.plan.kind).volume_mounts


def _cache_source(cluster: ClusterSpec) -> dict[str, Any]:
    assert cluster.node_cache is not None
    if cluster.node_cache.claim is not None:
        return {"persistentVolumeClaim": {"claimName": cluster.node_cache.claim}}
    return {"hostPath": {"path": cluster.node_cache.host_path, "type": "DirectoryOrCreate"}}


def _secret_variables(intent: Intent, store: StoreSpec) -> list[str]:
    """Environment variables that hold secrets: those of the store and those of the program."""
    keys = [item.env for item in (store.access_key, store.secret_key) if item is not None]
    return [*keys, *intent.plan.operation.secrets.values()]


def _shm_gib(resources: Resources) -> int:
    return max(1, resources.memory_gib // 4)
