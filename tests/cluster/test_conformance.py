"""The Kubernetes backend keeps the contract of backends, on a real API server and kubelet."""

from collections.abc import Iterator

import pytest
from kubernetes import config
from kubernetes.client import Configuration

from sftjobs.backend.kubernetes import KubernetesBackend
from sftjobs.kube.api import Api
from sftjobs.kube.job_status import Patience
from sftjobs.names import service_account_name
from sftjobs.objects import JobSettings
from sftjobs.spec.cluster import ClusterSpec, ImagesSpec
from sftjobs.spec.run import StoreSpec
from tests.support.chains import intent
from tests.support.cluster_run import IMAGES
from tests.support.conformance import NAME, Conformance
from tests.support.lab import Cluster

RUN = intent("a").plan.run


class KubernetesBench:
    """Jobs in one namespace; the image of the controller has a shell and starts at once."""

    patience_s = 120.0

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        image = IMAGES["controller"]
        self.settings = JobSettings(
            store=StoreSpec(uri="s3://bucket/prefix"),
            cluster=ClusterSpec(images=ImagesSpec(data=image), cpu_per_thread=0.1),
            namespace=namespace,
        )

    def backend(self) -> KubernetesBackend:
        patience = Patience(image_s=2, pull_s=10, start_s=60)
        return KubernetesBackend(Api(self._load, self._namespace), RUN, patience=patience)

    def output(self) -> str:
        selector = f"batch.kubernetes.io/job-name={NAME},batch.kubernetes.io/job-completion-index=0"
        return self._cluster.kubectl("logs", "-n", self._namespace, "-l", selector, "--tail=-1", check=False)

    def _load(self) -> Configuration:
        configuration = Configuration()
        config.load_kube_config(self._cluster.environ["KUBECONFIG"], client_configuration=configuration)
        return configuration


class TestKubernetesBackend(Conformance):
    @pytest.fixture
    def bench(self, cluster: Cluster) -> Iterator[KubernetesBench]:
        with cluster.namespace("conformance") as namespace:
            name = service_account_name(RUN, "data")
            cluster.apply(
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
            )
            yield KubernetesBench(cluster, namespace)
