"""The S3 client: where it connects, with which credentials, and how failures are told to a person."""

import base64
import contextlib
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ResponseStreamingError,
    SSLError,
)
from botocore.handlers import convert_body_to_file_like_object

from sftjobs import __version__
from sftjobs.errors import NotFoundError, StoreConfigError, StoreError
from sftjobs.spec.run import StoreSpec
from sftjobs.spec.secret import FromEnv

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

T = TypeVar("T")

CONNECTIONS = 64
"""Connections kept open; more than are ever used at a time."""
ATTEMPTS = 6
"""Tries of one request, unless AWS_MAX_ATTEMPTS says otherwise: with full jitter about half a minute in all."""
_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 15
"""Silence on a connection; well below the time after which a LEASE that is not renewed counts as stale."""
_LONGEST_PAUSE_S = 10.0

_DENIED = {
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_AGAIN = {
    "BadDigest",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "XAmzContentSHA256Mismatch",
}
"""Answers after which the same request can succeed, beyond what botocore's standard mode tries again by itself."""


@dataclass(frozen=True)
class Connection:
    """A client and what a person needs to know about it. Making one does not use the network."""

    client: "S3Client"
    uri: str
    bucket: str
    is_amazon: bool
    """AWS itself, which keeps every promise of S3, or a compatible server, which gets the plainest requests."""
    credentials: str
    """Where the credentials come from, in words."""
    attempts: int
    """Tries of one request."""

    @property
    def where(self) -> str:
        """The store and the server that keeps it."""
        return f"{self.uri} at {self.client.meta.endpoint_url}"

    def integrity(self, body: bytes) -> dict[str, Any]:
        """Arguments of a request that let the server notice bytes that changed on the way.

        AWS gets the client's CRC. Others get Content-MD5, which every server checks; some do not compare the body
        with the signature (SeaweedFS), and some store checksum trailers inside the object.
        """
        if self.is_amazon:
            return {"ChecksumAlgorithm": "CRC32"}
        return {"ContentMD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}

    @contextlib.contextmanager
    def explained(self, doing: str, key: str) -> Iterator[None]:
        """Turn an error of botocore into one of `sftjobs.errors` that says what to do. `doing`: e.g. `writing`."""
        started = time.monotonic()
        try:
            yield
        except ClientError as error:
            raise _answered(self, error, f"{self.where}: {doing} {key}") from error
        except BotoCoreError as error:
            raise _unanswered(self, error, f"{self.where}: {doing} {key}", time.monotonic() - started) from error

    def persistently(self, work: Callable[[], T]) -> T:
        """Do `work`, again after failures that botocore does not repeat: a torn response, a conflict, bad bytes."""
        for attempt in range(self.attempts - 1):
            try:
                return work()
            except (ClientError, IncompleteReadError, ResponseStreamingError, HTTPClientError) as error:
                if isinstance(error, ClientError) and code_of(error) not in _AGAIN:
                    raise
                if isinstance(error, ConnectionError | SSLError):
                    raise  # botocore has tried often enough
                time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.1 * 2**attempt)))
        return work()


def code_of(error: ClientError) -> str:
    """S3's name of the error, e.g. `NoSuchKey`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """HTTP status of the answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_missing(error: ClientError) -> bool:
    """True if the answer means that there is no such object."""
    return status_of(error) == 404 and code_of(error) != "NoSuchBucket"


def condition_failed(error: ClientError) -> bool:
    """True if the answer means that If-Match or If-None-Match did not hold; old MinIO says 304."""
    return status_of(error) in (412, 304)


def _answered(connection: Connection, error: ClientError, what: str) -> StoreError:
    """The server has answered, with an error."""
    code, status = code_of(error), status_of(error)
    said = f"{code}: {error.response.get('Error', {}).get('Message', '')}".strip(": ")
    if code == "NoSuchBucket":
        return StoreConfigError(f"{what}: there is no bucket {connection.bucket!r}; create it, or correct `store`")
    if code in _DENIED or status in (401, 403):
        way_out = (
            f"used were {connection.credentials}; check that they are right and may read, write, list and delete "
            f"under {connection.uri} (docs/store.md lists the permissions)"
        )
        return StoreConfigError(f"{what}: refused ({said}); {way_out}")
    if code in _WRONG_REGION or status == 301:
        return StoreConfigError(f"{what}: wrong region ({said}); set store.region")
    if is_missing(error):
        return NotFoundError(f"{what}: there is no such object")
    tries = int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) + 1
    return StoreError(f"{what}: failed with HTTP {status} {said} after {tries} attempts")


def _unanswered(connection: Connection, error: BotoCoreError, what: str, seconds: float) -> StoreError:
    """There was no answer, or the request could not be made."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StoreConfigError(f"{what}: no credentials ({error}); used were {connection.credentials}")
    if isinstance(error, ParamValidationError):
        return StoreConfigError(f"{what}: {error}")
    if isinstance(error, SSLError):
        way_out = "for a private certificate authority set AWS_CA_BUNDLE to its certificate file"
        return StoreConfigError(f"{what}: no trusted TLS connection ({error}); {way_out}")
    tries = f"{connection.attempts} attempts in {seconds:.1f} s"
    return StoreError(f"{what}: no usable answer after {tries} ({error}); is the endpoint right and running?")


def connect(spec: StoreSpec, bucket: str) -> Connection:
    """A client for `spec`. Raises StoreConfigError if a variable with credentials is not set or a URL is no URL."""
    try:
        keys = _keys(spec)
        attempts = max(1, int(os.environ.get("AWS_MAX_ATTEMPTS", ATTEMPTS)))
        session = boto3.session.Session()
        custom = spec.endpoint is not None
        client = _client(session, spec, keys, custom, attempts)
        if not custom and not _is_amazon(client.meta.endpoint_url):
            # AWS_ENDPOINT_URL or a profile names another server
            custom = True
            client = _client(session, spec, keys, custom, attempts)
    except (ValueError, ProfileNotFound) as error:
        way_out = "check store.endpoint and the variables AWS_ENDPOINT_URL, AWS_PROFILE and AWS_MAX_ATTEMPTS"
        raise StoreConfigError(f"store {spec.uri}: {error}; {way_out}") from None
    return Connection(client, spec.uri, bucket, not custom, _described(spec), attempts)


def _client(
    session: boto3.session.Session, spec: StoreSpec, keys: tuple[str, str] | None, custom: bool, attempts: int
) -> "S3Client":
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
        user_agent=f"sftjobs/{__version__}",  # the default one is put together anew for every request
        s3={"addressing_style": "path" if custom else "auto"},
        # checksum trailers end up inside the objects of some compatible servers
        request_checksum_calculation="when_required" if custom else "when_supported",
        response_checksum_validation="when_required" if custom else "when_supported",
    )
    access, secret = keys or (None, None)
    region = spec.region or session.region_name or ("us-east-1" if custom else None)
    client = session.client(
        "s3",
        endpoint_url=spec.endpoint,
        region_name=region,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=config,
    )
    for operation in ("PutObject", "UploadPart"):
        # botocore makes a file of every body: that costs a round trip (Expect: 100-continue) and sends 16 KiB at a time
        client.meta.events.unregister(f"before-parameter-build.s3.{operation}", convert_body_to_file_like_object)
    return client


def _is_amazon(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _keys(spec: StoreSpec) -> tuple[str, str] | None:
    """Access key and secret key from the variables that the spec names; None if it names none."""
    if spec.access_key is None and spec.secret_key is None:
        return None
    if spec.access_key is None or spec.secret_key is None:
        raise StoreConfigError("store: give both access_key and secret_key, or neither to use the AWS defaults")
    return _variable("access_key", spec.access_key), _variable("secret_key", spec.secret_key)


def _variable(field: str, source: FromEnv) -> str:
    value = os.environ.get(source.env, "").strip()  # secrets made from files often end in a newline
    if not value:
        raise StoreConfigError(f"store.{field}: the environment variable {source.env} is not set or empty; set it")
    return value


def _described(spec: StoreSpec) -> str:
    if spec.access_key is not None and spec.secret_key is not None:
        return f"the variables {spec.access_key.env} (store.access_key) and {spec.secret_key.env} (store.secret_key)"
    return "the AWS defaults (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the workload's identity)"
