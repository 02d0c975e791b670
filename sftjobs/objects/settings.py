"""What a Job needs beside the plan: the store, and what the platform team says about its cluster."""

from sftjobs.model import Document
from sftjobs.plan.types import Kind
from sftjobs.spec.cluster import ClusterSpec, ClusterStoreSpec, PodSpec
from sftjobs.spec.run import StoreSpec


class OwnerReference(Document):
    """The ConfigMap of the release: deleting it deletes every Job of the run."""

    name: str
    uid: str


class JobSettings(Document):
    """The defaults serve `sftjobs plan -o yaml` and the process backend."""

    store: StoreSpec
    """Where the agent finds its stage plan and leaves the artifact, as it is reached from the pod."""
    cluster: ClusterSpec = ClusterSpec()
    namespace: str = "default"
    owner: OwnerReference | None = None


def store_in_cluster(store: StoreSpec, cluster: ClusterSpec) -> StoreSpec:
    """The store of run.yaml as pods reach it."""
    changed = {name: getattr(cluster.store, name) for name in ClusterStoreSpec.model_fields}
    return store.model_copy(update={name: value for name, value in changed.items() if value is not None})


def pod_settings(cluster: ClusterSpec, kind: Kind) -> PodSpec:
    """`pods.all`, and over it what the kind has of its own: mappings are merged, lists are joined."""
    everybody, own = cluster.pods.all, getattr(cluster.pods, kind)
    return PodSpec(
        node_selector={**everybody.node_selector, **own.node_selector},
        tolerations=[*everybody.tolerations, *own.tolerations],
        affinity={**everybody.affinity, **own.affinity},
        runtime_class=own.runtime_class or everybody.runtime_class,
        env={**everybody.env, **own.env},
        secret_env=[*everybody.secret_env, *own.secret_env],
        volumes=[*everybody.volumes, *own.volumes],
        volume_mounts=[*everybody.volume_mounts, *own.volume_mounts],
    )
