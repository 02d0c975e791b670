"""cluster.yaml as types: what a platform team says once about its cluster. docs/cluster-yaml.md is made from here.

The same model is behind the values of the chart (`charts/sft-run/values.schema.json` is made from it) and behind
`sftjobs run --backend kubernetes --cluster cluster.yaml`. Values that Kubernetes defines itself (tolerations, affinity,
volumes) are passed on as they are; the API server is the judge of them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from sftjobs import __version__
from sftjobs.model import Document
from sftjobs.spec.gpu import GpuSpec
from sftjobs.spec.secret import FromEnv


def _said(words: str) -> dict[str, JsonValue]:
    """What a pattern means, for messages: `$comment` is where JSON Schema has room for it."""
    return {"$comment": words}


Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        max_length=253,
        json_schema_extra=_said("a name of a Kubernetes object: lower-case letters, digits, '-' and '.'"),
    ),
]
LabelKey = Annotated[
    str,
    Field(
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        json_schema_extra=_said("a key of a label, such as team or example.org/team"),
    ),
]
LabelValue = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
        json_schema_extra=_said("a value of a label: at most 63 letters, digits, '-', '_' and '.'"),
    ),
]
Variable = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        json_schema_extra=_said("a name of an environment variable: letters, digits and '_'"),
    ),
]
Image = Annotated[
    str,
    Field(
        pattern=r"^[^\s:@]+(:[0-9]+/[^\s:@]+)?(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$",
        json_schema_extra=_said("an image, such as registry.example.org/team/train:1"),
    ),
]
Quantity = Annotated[
    str,
    Field(
        pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
        json_schema_extra=_said("a quantity of Kubernetes, such as 500m or 256Mi"),
    ),
]
Cidr = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$",
        json_schema_extra=_said("a network, such as 10.0.0.0/8"),
    ),
]
Url = Annotated[
    str,
    Field(
        pattern=r"^https?://[^\s]+$",
        json_schema_extra=_said("a URL that begins with http:// or https://"),
    ),
]
KubernetesValue = dict[str, Any]
"""Passed on as it is."""


class ImagesSpec(Document):
    """Images by role. `make images-push REGISTRY=...` prints this block for the images that it pushed."""

    controller: Image = f"sftjobs/controller:{__version__}"
    """Of the controller and of `helm test`."""
    data: Image = f"sftjobs/data:{__version__}"
    """Of data stages (import, data)."""
    train: Image = f"sftjobs/train:{__version__}"
    """Of train stages."""
    eval: Image = f"sftjobs/eval:{__version__}"
    """Of eval stages and of the comparison."""
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When the kubelet pulls."""
    pull_secrets: list[Name] = []
    """Secrets of type `kubernetes.io/dockerconfigjson` for a private registry."""


class ClusterStoreSpec(Document):
    """The store as pods reach it, where that differs from what run.yaml says. Not part of any key."""

    endpoint: Url | None = None
    """URL of the S3-compatible server as seen from a pod."""
    region: str | None = None
    """S3 region."""
    access_key: FromEnv | None = None
    """Key of `secret` that holds the S3 access key id; unset: what run.yaml says, else workload identity."""
    secret_key: FromEnv | None = None
    """Key of `secret` that holds the S3 secret access key."""


class ServiceAccountSpec(Document):
    """The identity of one role."""

    name: Name | None = None
    """An existing ServiceAccount; unset: the chart makes one."""
    annotations: dict[str, str] = {}
    """For the ServiceAccount that the chart makes: workload identity, e.g. `eks.amazonaws.com/role-arn`."""


class ServiceAccountsSpec(Document):
    """Identities by role. Only the controller's has rights in the cluster, and only in its namespace."""

    controller: ServiceAccountSpec = ServiceAccountSpec()
    """Of the controller."""
    data: ServiceAccountSpec = ServiceAccountSpec()
    """Of data stages."""
    train: ServiceAccountSpec = ServiceAccountSpec()
    """Of train stages."""
    eval: ServiceAccountSpec = ServiceAccountSpec()
    """Of eval stages."""


class PodSpec(Document):
    """Where pods go and what they see."""

    node_selector: dict[LabelKey, LabelValue] = {}
    """Labels that a node must have."""
    tolerations: list[KubernetesValue] = []
    """Taints that are tolerated, as in a pod."""
    affinity: KubernetesValue = {}
    """As in a pod."""
    runtime_class: Name | None = None
    """RuntimeClass, e.g. `nvidia`."""
    env: dict[Variable, str] = {}
    """Environment variables, never secrets: they are stored with the release."""
    secret_env: list[Variable] = []
    """Keys of `secret` that become environment variables of the same name."""
    volumes: list[KubernetesValue] = []
    """Further volumes, as in a pod."""
    volume_mounts: list[KubernetesValue] = []
    """Where they are mounted, as in a container."""


class PodsSpec(Document):
    """Placement: `all`, and over it what one role has of its own (mappings are merged, lists are joined)."""

    all: PodSpec = PodSpec()
    """Every pod of the run."""
    controller: PodSpec = PodSpec()
    """The controller, and `helm test`."""
    data: PodSpec = PodSpec()
    """Data stages; the import of models from a hub is one."""
    train: PodSpec = PodSpec()
    """Train stages."""
    eval: PodSpec = PodSpec()
    """Eval stages."""


class ControllerSpec(Document):
    """The controller of the run."""

    enabled: bool = True
    """False: no controller in the cluster; `sftjobs run --backend kubernetes` is it."""
    cpu: Quantity = "50m"
    """CPU request."""
    memory: Quantity = "256Mi"
    """Memory request and limit."""
    again: Annotated[int, Field(ge=0)] = 0
    """Raise it with `helm upgrade` to try a failed or cancelled run again, with fresh budgets."""


class ProxySpec(Document):
    """HTTP proxy of the cluster."""

    http: str | None = None
    """Becomes `HTTP_PROXY`."""
    https: str | None = None
    """Becomes `HTTPS_PROXY`."""
    no_proxy: str = "localhost,127.0.0.1,.svc,.cluster.local"
    """Becomes `NO_PROXY`; the store usually belongs here. The address of the API server is added for the controller."""


class CaBundleSpec(Document):
    """Certificates of a private CA, for the store, hubs and the proxy."""

    config_map: Name
    """ConfigMap with the bundle."""
    key: str = "ca.crt"
    """Its key; the value is PEM and must hold every CA that is needed."""


class HubSpec(Document):
    """Where models on a hub come from. Only the import stage and the controller talk to it."""

    endpoint: Url | None = None
    """A mirror with the API of the Hugging Face hub, such as one of your own: `HF_ENDPOINT`."""


class EgressSpec(Document):
    """What pods may connect to; everything else is refused."""

    cidrs: Annotated[list[Cidr], Field(min_length=1)]
    """Networks: the store, the API server (for the controller), hubs for the import stage."""
    dns: bool = True
    """Allow DNS (port 53) to anywhere."""


class NetworkPolicySpec(Document):
    """Pods of a run accept connections only from pods of the same run."""

    enabled: bool = True
    """False if the cluster's network cannot have NetworkPolicies."""
    egress: EgressSpec | None = None
    """Unset: outgoing connections are not limited."""


class NodeCacheSpec(Document):
    """Inputs that many pods read (models) are kept on the node, known and verified by digest. One of both."""

    host_path: str | None = None
    """A folder of the node, writable for the user of the pods."""
    claim: Name | None = None
    """A PersistentVolumeClaim; ReadWriteMany if pods of several nodes use it."""
    max_gib: Annotated[int, Field(ge=1)] = 200
    """What was not used for the longest time is deleted beyond this size."""


class SecuritySpec(Document):
    """User of the pods. The rest is the `restricted` Pod Security profile and is not a choice."""

    user: Annotated[int, Field(ge=1)] = 10001
    """Numeric user, group and fsGroup."""
    any_user: bool = False
    """True: leave the user to the namespace (OpenShift gives each namespace a range)."""


class WebhookSpec(Document):
    """One POST with a JSON body when the run has ended; at least once."""

    url: Url | None = None
    """Where to; unset: none."""
    url_from: FromEnv | None = None
    """The same from a key of `secret`, where the URL itself is one."""


class ClusterSpec(Document):
    """cluster.yaml."""

    images: ImagesSpec = ImagesSpec()
    """Images by role."""
    store: ClusterStoreSpec = ClusterStoreSpec()
    """The store as pods reach it."""
    secret: Name = "sftjobs"
    """Secret with one key per environment variable that run.yaml or this file names as `{env: NAME}`."""
    service_accounts: ServiceAccountsSpec = ServiceAccountsSpec()
    """Identities by role."""
    queue: Name | None = None
    """Kueue LocalQueue; stage Jobs are then created suspended and admitted by Kueue. Kueue is never required."""
    queue_priority: Name | None = None
    """Kueue WorkloadPriorityClass."""
    priority_class: Name | None = None
    """PriorityClass of stage pods."""
    scheduler: Name | None = None
    """Name of the scheduler of stage pods; unset: the cluster's default."""
    cpu_per_thread: Annotated[float, Field(gt=0, le=16)] = 1.0
    """CPU request of a stage pod = ranks x threads x this. Lower it where requests of others fill the nodes."""
    pods: PodsSpec = PodsSpec()
    """Placement and environment, for all pods and by role."""
    controller: ControllerSpec = ControllerSpec()
    """The controller of the run."""
    proxy: ProxySpec = ProxySpec()
    """HTTP proxy of the cluster."""
    ca_bundle: CaBundleSpec | None = None
    """Certificates of a private CA."""
    hub: HubSpec = HubSpec()
    """Where models on a hub come from."""
    labels: dict[LabelKey, LabelValue] = {}
    """On every object and pod: team, cost centre. Cost tools attribute by labels of pods."""
    annotations: dict[str, str] = {}
    """On every pod."""
    network_policy: NetworkPolicySpec = NetworkPolicySpec()
    """Who may talk to the pods of a run."""
    node_cache: NodeCacheSpec | None = None
    """Keep models on the node; off by default."""
    security: SecuritySpec = SecuritySpec()
    """User of the pods."""
    image_patience_s: Annotated[int, Field(ge=10)] = 90
    """An image that cannot be pulled for so long by any pod of an attempt fails the stage."""
    start_patience_s: Annotated[int, Field(ge=60)] = 86_400
    """An attempt whose pods have not started for so long (queue excepted) is given up and counts as infrastructure."""
    job_ttl_s: Annotated[int, Field(ge=3600)] = 604_800
    """Finished stage Jobs stay visible for so long. Nothing is lost with them."""
    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    """Ceiling of one run over all its attempts: GPUs x hours. Beyond it stages save, stop and the run fails."""
    gpu: GpuSpec | None = None
    """What GPUs there are and what they cost, for advice."""
    webhook: WebhookSpec = WebhookSpec()
    """Told when the run has ended."""


class ReleaseValues(ClusterSpec):
    """The values of the chart: cluster.yaml and the run."""

    run: Annotated[str, Field(min_length=1, max_length=900_000)]
    """Content of a run.yaml without local paths (`sftjobs push` writes one): `--set-file run=pushed.yaml`."""
