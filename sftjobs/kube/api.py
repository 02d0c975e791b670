"""Requests to the API server of a cluster. The only module that imports the Kubernetes client.

The official client finds the server and keeps the credentials fresh (kubeconfig, exec plugins, rotated service account
tokens). Objects stay plain dicts: its typed models drop or refuse what a newer server knows.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import config as kube_config
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity

Object = dict[str, Any]
Propagation = Literal["Background", "Foreground"]
CONNECT_S = 5.0
READ_S = 20.0
MAX_RETRY_AFTER_S = 300.0
"""Whatever a proxy asks for: a controller that sleeps for a day would look like one that works."""
USER_AGENT = "sftjobs"
SILENT = "Silent"
"""Reason of the ApiError of a watch on which nothing was heard for too long."""
UNREADABLE = "Unreadable"
"""Reason of the ApiError of an answer that is not one of an API server."""

_PATHS = {
    "configmaps": "/api/v1/namespaces/{namespace}/configmaps",
    "events": "/api/v1/namespaces/{namespace}/events",
    "jobs": "/apis/batch/v1/namespaces/{namespace}/jobs",
    "limitranges": "/api/v1/namespaces/{namespace}/limitranges",
    "localqueues": "/apis/kueue.x-k8s.io/v1beta1/namespaces/{namespace}/localqueues",
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/namespaces/{namespace}/pods",
    "resourcequotas": "/api/v1/namespaces/{namespace}/resourcequotas",
    "workloads": "/apis/kueue.x-k8s.io/v1beta1/namespaces/{namespace}/workloads",
}
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_LOCAL_REVIEWS = "/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews"


class ApiError(Exception):
    """The server refused or could not be reached (`status` 0)."""

    def __init__(self, status: int, reason: str, message: str, retry_after_s: float | None = None) -> None:
        self.status = status
        self.reason = reason
        """Machine-readable, e.g. `AlreadyExists`."""
        self.retry_after_s = retry_after_s
        super().__init__(message)

    @property
    def may_pass(self) -> bool:
        """True if the same request may succeed later."""
        return self.status in (0, 401, 408, 409, 429) or self.status >= 500


@dataclass(frozen=True)
class Listing:
    """Objects and the version of the collection that they were read at."""

    items: list[Object]
    version: str


class Api:
    """One namespace of one cluster. Safe to use from several threads."""

    def __init__(self, load: Callable[[], Configuration], namespace: str) -> None:
        self.namespace = namespace
        self._load = load
        self._lock = threading.Lock()
        self._client = self._connect()

    def get(self, resource: str, name: str) -> Object:
        """Raises ApiError, with status 404 if there is none."""
        return self._json("GET", self._path(resource, name))

    def list(self, resource: str, labels: str = "", fields: str = "") -> Listing:
        """Every object that the selectors match."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        found = self._json("GET", self._path(resource), query)
        if "metadata" not in found:
            raise ApiError(0, UNREADABLE, f"the answer to a listing of {resource} is none; is a proxy in between?")
        return Listing(found.get("items") or [], found["metadata"].get("resourceVersion", ""))

    def create(self, resource: str, body: Object, dry_run: bool = False) -> Object:
        """The object as the server made it."""
        return self._json("POST", self._path(resource), {"dryRun": "All" if dry_run else ""}, body)

    def delete(
        self, resource: str, name: str, propagation: Propagation = "Background", grace_s: int | None = None
    ) -> bool:
        """Ask for deletion; False if there is no such object. Without `propagation` a Job would leave its pods."""
        options: Object = {"propagationPolicy": propagation}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            self._json("DELETE", self._path(resource, name), body=options)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def watch(self, resource: str, labels: str, since: str, timeout_s: int, silence_s: float) -> Iterator[Object]:
        """Changes after version `since`, as `{"type", "object"}`, until the server ends it after `timeout_s`.

        Bookmarks are asked for, about one a minute, so `silence_s` without anything means a dead connection. Raises
        ApiError; status 410 means that `since` is too old and the collection must be listed again.
        """
        query = {
            "watch": "true",
            "labelSelector": labels,
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout_s),
        }
        response = self._send("GET", self._path(resource), query, None, read_s=silence_s)
        try:
            for line in _lines(response):
                event = _event(line)
                if event["type"] == "ERROR":
                    raise _of_status(event["object"].get("code", 500), event["object"])
                yield event
        except urllib3.exceptions.ReadTimeoutError as error:
            raise ApiError(0, SILENT, f"nothing was heard for {silence_s:.0f} s") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, "Unreachable", f"the watch was cut off: {error}") from error
        finally:
            response.close()

    def log(self, pod: str, tail: int = 20) -> str:
        """The last lines of a pod's log."""
        query = {"tailLines": str(tail)}
        response = self._send("GET", f"{self._path('pods', pod)}/log", query, None)
        return _body(response).decode("utf-8", errors="replace")

    def may(self, verb: str, resource: str, group: str = "", name: str = "", everywhere: bool = False) -> bool:
        """SelfSubjectAccessReview: may whoever asks do this?"""
        attributes: Object = {"verb": verb, "resource": resource, "group": group, "name": name}
        if not everywhere:
            attributes["namespace"] = self.namespace
        return self._review(_REVIEWS, "SelfSubjectAccessReview", {"resourceAttributes": attributes})

    def may_account(self, account: str, verb: str, resource: str, group: str = "", name: str = "") -> bool:
        """LocalSubjectAccessReview: may this ServiceAccount of the namespace do this here?"""
        space = self.namespace
        spec = {
            "user": f"system:serviceaccount:{space}:{account}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{space}", "system:authenticated"],
            "resourceAttributes": {
                "verb": verb,
                "resource": resource,
                "group": group,
                "name": name,
                "namespace": space,
            },
        }
        return self._review(_LOCAL_REVIEWS.format(namespace=quote(space)), "LocalSubjectAccessReview", spec)

    def _review(self, path: str, kind: str, spec: Object) -> bool:
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        if path != _REVIEWS:
            review["metadata"] = {"namespace": self.namespace}
        return bool(self._json("POST", path, body=review)["status"].get("allowed"))

    # --- one request --------------------------------------------------------------------------------------------------

    def _path(self, resource: str, name: str = "") -> str:
        path = _PATHS[resource].format(namespace=quote(self.namespace))
        return f"{path}/{quote(name)}" if name else path

    def _json(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Object | None = None
    ) -> Object:
        data = _body(self._send(method, path, query or {}, body))
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ApiError(0, UNREADABLE, f"{method} {path}: the answer is no JSON object; is a proxy in between?")
        return found

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Object | None, read_s: float = READ_S
    ) -> urllib3.BaseHTTPResponse:
        """The response, its body not read yet. A 401 may be an expired token: connect anew, once."""
        client = self._client
        response = self._request(client, method, path, query, body, read_s)
        if response.status == 401:
            response.close()
            response = self._request(self._reconnect(client), method, path, query, body, read_s)
        if not 200 <= response.status < 300:
            raise _of_response(method, path, response)
        return response

    def _request(
        self, client: ApiClient, method: str, path: str, query: Mapping[str, str], body: Object | None, read_s: float
    ) -> urllib3.BaseHTTPResponse:
        configuration = client.configuration
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": USER_AGENT}
        headers |= {item["key"]: item["value"] for item in configuration.auth_settings().values() if item["value"]}
        asked = urlencode({key: value for key, value in query.items() if value})
        url = f"{configuration.host}{path}" + (f"?{asked}" if asked else "")
        try:
            answer = client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=(CONNECT_S, read_s)
            )
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            raise ApiError(0, "Unreachable", f"the API server cannot be reached: {_reason(error)}") from error
        response: urllib3.BaseHTTPResponse = answer.response
        return response

    def _connect(self) -> ApiClient:
        try:
            configuration = self._load()
        except kube_config.ConfigException as error:
            raise ApiError(0, "NoCredentials", f"no credentials for the cluster: {error}") from error
        configuration.retries = False  # whoever asks decides when to ask again
        return ApiClient(configuration)

    def _reconnect(self, used: ApiClient) -> ApiClient:
        with self._lock:
            if self._client is used:
                self._client = self._connect()
            return self._client


def in_cluster(namespace: str) -> Api:
    """The cluster that this pod runs in, with the rights of its service account."""

    def load() -> Configuration:
        configuration = Configuration()
        kube_config.load_incluster_config(configuration)
        return configuration

    return Api(load, namespace)


def from_kubeconfig(context: str | None = None, namespace: str | None = None) -> Api:
    """The cluster of the current (or another) context of the kubeconfig, and the namespace of that context.

    Raises ApiError if there is no such context.
    """
    try:
        contexts, current = kube_config.list_kube_config_contexts()
    except kube_config.ConfigException as error:
        raise ApiError(0, "NoKubeconfig", f"no cluster: {error}; set KUBECONFIG or give --context") from error
    known = {item["name"]: item for item in contexts}
    if context is not None and context not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ApiError(0, "NoContext", f"the kubeconfig has no context {context!r}; it has: {names}")
    chosen = known[context] if context is not None else current

    def load() -> Configuration:
        configuration = Configuration()
        kube_config.load_kube_config(context=context, client_configuration=configuration)
        return configuration

    return Api(load, namespace or chosen["context"].get("namespace") or "default")


def quantity(text: str) -> Decimal:
    """The number behind a quantity of Kubernetes, such as `500m` or `4Gi`."""
    found: Decimal = parse_quantity(text)
    return found


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(amt=None, decode_content=True):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())


def _event(line: bytes) -> Object:
    """One line of a watch. Raises ApiError if it is not from an API server."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "type" not in found or not isinstance(found.get("object"), dict):
        raise ApiError(0, UNREADABLE, f"a line of the watch is no event: {line[:80]!r}")
    return found


def _body(response: urllib3.BaseHTTPResponse) -> bytes:
    """The whole body; it comes only now, so the connection may still break. Raises ApiError."""
    try:
        return bytes(response.data)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ApiError(0, "Unreachable", f"the answer of the API server was cut off: {_reason(error)}") from error


def _of_response(method: str, path: str, response: urllib3.BaseHTTPResponse) -> ApiError:
    try:
        body = json.loads(_body(response))
    except (ValueError, ApiError):
        body = {}
    wait = response.headers.get("Retry-After", "")
    error = _of_status(response.status, body if isinstance(body, dict) else {}, f"{method} {path}")
    error.retry_after_s = min(float(wait), MAX_RETRY_AFTER_S) if wait.isdecimal() else None
    return error


def _of_status(code: int, status: Object, asked: str = "") -> ApiError:
    message = status.get("message") or f"{asked} was answered with {code}"
    return ApiError(code, str(status.get("reason") or ""), str(message))


def _reason(error: Exception) -> str:
    text = str(getattr(error, "reason", None) or error)
    return text.rpartition(": ")[2] or type(error).__name__
