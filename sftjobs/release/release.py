"""The release of a run, as its controller sees it in the cluster."""

import time
from dataclasses import dataclass, field

from pydantic import ValidationError

from sftjobs import names
from sftjobs.backend.base import BackendError
from sftjobs.backend.kubernetes import Anchor
from sftjobs.canonical import sha256
from sftjobs.errors import DataError
from sftjobs.kube.api import Api, ApiError, Object
from sftjobs.kube.objects import annotation
from sftjobs.objects import OwnerReference
from sftjobs.spec.cluster import ClusterSpec

CLUSTER_EVERY_S = 60.0
"""cluster.json and the anchor are looked at so often, beside the look before each Job."""


@dataclass
class Release:
    """One release in one namespace."""

    api: Api
    name: str
    anchor: Anchor
    run_text: bytes
    """run.yaml as it was installed."""
    cluster: ClusterSpec
    """As it was when it was last read."""
    _read: float = field(default_factory=time.monotonic)

    @property
    def owner(self) -> OwnerReference:
        return OwnerReference(name=self.anchor.name, uid=self.anchor.uid)

    def latest(self) -> ClusterSpec:
        """cluster.json as it is now. Raises BackendError, also if it cannot be used.

        A run that goes on does not end because of an upgrade that does not fit: the next one puts it right.
        """
        try:
            found = self.api.get("configmaps", names.run_config_name(self.name))
            self.cluster = cluster_of(found)
        except ApiError as error:
            raise BackendError(str(error), error.retry_after_s) from error
        except DataError as error:
            raise BackendError(f"{error}; nothing new is started until it is put right by `helm upgrade`") from error
        self._read = time.monotonic()
        return self.cluster

    def look_now_and_then(self) -> None:
        """Raises ReleaseGoneError if the release is gone; keeps `cluster` fresh."""
        if time.monotonic() - self._read > CLUSTER_EVERY_S:
            self.anchor.check()
            self.latest()


def read_release(api: Api, name: str) -> Release:
    """Raises DataError if what was installed is no release of this chart, ApiError if the server does not answer."""
    anchor = _config_map(api, names.anchor_name(name))
    config = _config_map(api, names.run_config_name(name))
    text = (config.get("data") or {}).get(names.RUN_YAML, "").encode()
    if annotation(anchor, names.ANNOTATION_RUN_HASH) != sha256(text):
        raise DataError(
            f"release {name}: run.yaml is not the one that it was installed with; a release is one run: "
            "install the other under another name, or uninstall this one first"
        )
    found = Anchor(api, names.anchor_name(name), anchor["metadata"]["uid"])
    return Release(api=api, name=name, anchor=found, run_text=text, cluster=cluster_of(config))


def _config_map(api: Api, name: str) -> Object:
    try:
        return api.get("configmaps", name)
    except ApiError as error:
        if error.status != 404:
            raise
        way_out = "install it with the chart sft-run"
        raise DataError(f"namespace {api.namespace} has no ConfigMap {name}: {way_out}") from error


def cluster_of(config: Object) -> ClusterSpec:
    """cluster.yaml as it is in the run ConfigMap. Raises DataError."""
    text = (config.get("data") or {}).get(names.CLUSTER_KEY, "{}")
    try:
        return ClusterSpec.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"cluster.yaml: {place}: {first['msg']}; chart and image must be of one version") from error
