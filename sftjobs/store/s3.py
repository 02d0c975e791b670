"""The store as a prefix of an S3 bucket, on AWS or any server that has conditional writes.

Create-only is `If-None-Match: *`, replacing is `If-Match`. A request may be repeated after its response was lost, so
a failed condition is a success if the stored object is the very one that was to be written. ETags are compared,
never taken for hashes.
"""

import builtins
import contextlib
import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sftjobs.errors import AlreadyExistsError, ChangedError, NotFoundError, StoreConfigError
from sftjobs.spec.run import StoreSpec
from sftjobs.store import disk, keys
from sftjobs.store.base import Entry, Object, OnBytes
from sftjobs.store.s3client import Connection, condition_failed, connect, is_missing
from sftjobs.store.s3parts import PART, Parts

_SCHEME = "s3://"
_CREATE_ROUNDS = 5
"""How often an object may vanish between 'it exists' and reading it before that is called an error."""

_LISTERS = 8
"""Small listings made at a time."""


def open_s3(spec: StoreSpec) -> "S3Store":
    """The store at `s3://bucket/prefix`; the network is not used yet. Raises StoreConfigError."""
    bucket, _, prefix = spec.uri.removeprefix(_SCHEME).partition("/")
    if not bucket:
        raise StoreConfigError(f"store: {spec.uri!r} names no bucket; write s3://bucket/prefix")
    return S3Store(connect(spec, bucket), prefix.strip("/"))


class S3Store:
    """A `sftjobs.store.base.Store` under a prefix of a bucket."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._client = connection.client
        self._bucket = connection.bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._parts = Parts(connection)

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return f"{_SCHEME}{self._bucket}/{self._prefix}".rstrip("/")

    def create(self, key: str, body: bytes) -> str:
        with self._connection.explained("writing", key):
            for _ in range(_CREATE_ROUNDS):
                etag = self._conditional(key, body, IfNoneMatch="*")
                if etag is not None:
                    return etag
                try:
                    existing = self.get(key)
                except NotFoundError:
                    continue  # deleted since
                if existing.body == body:
                    return existing.etag
                break
        raise AlreadyExistsError(f"{self._connection.where}: {key} exists already, with other content")

    def replace(self, key: str, body: bytes, etag: str) -> str:
        with self._connection.explained("replacing", key):
            new = self._conditional(key, body, IfMatch=f'"{etag}"')
            if new is not None:
                return new
            try:
                existing = self.get(key)
            except NotFoundError:
                raise ChangedError(f"{self._connection.where}: {key} was deleted by somebody else") from None
        if existing.body == body:
            return existing.etag
        raise ChangedError(f"{self._connection.where}: {key} was changed by somebody else")

    def put(self, key: str, body: bytes) -> None:
        with self._connection.explained("writing", key):
            self._connection.persistently(
                lambda: self._client.put_object(
                    Bucket=self._bucket, Key=self._key(key), Body=body, **self._connection.integrity(body)
                )
            )

    def get(self, key: str) -> Object:
        def once() -> Object:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            with contextlib.closing(answer["Body"]) as stream:
                return Object(body=stream.read(), etag=answer["ETag"].strip('"'))

        with self._connection.explained("reading", key):
            return self._connection.persistently(once)

    def list(self, prefix: str) -> Iterator[Entry]:
        with self._connection.explained("listing", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            found = [item for page in pages for item in page.get("Contents", [])]
        # SeaweedFS orders by folder, so `a/b` comes before `a-b`
        for item in sorted(found, key=lambda item: item["Key"].encode()):
            key = item["Key"].removeprefix(self._prefix)
            if key and not key.endswith("/"):  # an empty object by which some tools mark a folder
                yield Entry(key, item["Size"], item["ETag"].strip('"'), item["LastModified"].timestamp())

    def list_folders(self, prefix: str) -> builtins.list[str]:
        full = self._prefix + prefix
        with self._connection.explained("listing", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=full, Delimiter="/"
            )
            found = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
            if not self._connection.is_amazon:
                found = self._without_empty(found)
        return sorted(folder.removeprefix(full).rstrip("/") for folder in found)

    def delete(self, key: str) -> None:
        with self._connection.explained("deleting", key):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def upload(self, key: str, source: Path, on_bytes: OnBytes | None = None) -> str:
        size = source.stat().st_size
        with self._connection.explained(f"copying {source} to", key):
            try:
                if size <= PART:
                    return self._parts.put(self._key(key), source, size, on_bytes)
                return self._parts.put_large(self._key(key), source, size, on_bytes)
            except ClientError as error:
                # a repeated completion whose first response was lost finds no such upload
                if not condition_failed(error) and not is_missing(error):
                    raise
                existing = self._hash_stored(key)
                if existing is None:
                    raise
        with source.open("rb") as file:
            ours = hashlib.file_digest(file, "sha256").hexdigest()
        if ours != existing:
            where = self._connection.where
            raise AlreadyExistsError(f"{where}: {key} exists already, with other content than {source}")
        return ours

    def download(self, key: str, target: Path, on_bytes: OnBytes | None = None) -> str:
        with (
            self._connection.explained("reading", key),
            disk.explained_local(target),
            target.open("x+b") as file,
        ):
            return self._parts.fetch(self._key(key), file, on_bytes)

    def digest(self, key: str, on_bytes: OnBytes | None = None) -> str:
        with self._connection.explained("reading", key):
            return self._parts.digest(self._key(key), on_bytes)

    def local_path(self, key: str) -> Path | None:
        return None

    def remove_leftovers(self, older_than_s: float) -> int:
        cutoff = time.time() - older_than_s
        removed = 0
        with self._connection.explained("cleaning", "unfinished uploads"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for upload in [upload for page in pages for upload in page.get("Uploads", [])]:
                if upload["Initiated"].timestamp() < cutoff:
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    removed += 1
        return removed

    def _key(self, key: str) -> str:
        return self._prefix + keys.check(key)

    def _conditional(self, key: str, body: bytes, **condition: str) -> str | None:
        """Write if the condition holds; returns the new etag, or None if it does not hold."""
        headers: Any = condition | self._connection.integrity(body)
        try:
            answer = self._connection.persistently(
                lambda: self._client.put_object(Bucket=self._bucket, Key=self._key(key), Body=body, **headers)
            )
        except ClientError as error:
            if condition_failed(error) or is_missing(error):
                return None
            raise
        return answer["ETag"].strip('"')

    def _without_empty(self, folders: builtins.list[str]) -> builtins.list[str]:
        """The prefixes that have an object below them: SeaweedFS shows those of deleted objects for a while."""

        def has_objects(folder: str) -> bool:
            answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=folder, MaxKeys=1)
            return bool(answer.get("Contents"))

        with ThreadPoolExecutor(_LISTERS) as pool:
            return [folder for folder, kept in zip(folders, pool.map(has_objects, folders), strict=True) if kept]

    def _hash_stored(self, key: str) -> str | None:
        """SHA-256 of the stored object, read in full; None if there is none."""

        def once() -> str | None:
            hashed = hashlib.sha256()
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            except ClientError as error:
                if is_missing(error):
                    return None
                raise
            with contextlib.closing(answer["Body"]) as stream:
                while chunk := stream.read(1 << 20):
                    hashed.update(chunk)
            return hashed.hexdigest()

        return self._connection.persistently(once)
