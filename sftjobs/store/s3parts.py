"""Large objects over S3 in parts: several at a time, memory bounded for the whole store, hashed in order.

An upload reads the file once, front to back: each part is hashed and handed to a sender. A download fetches ranges
and writes them where they belong; the hash follows behind and reads what has arrived back from the page cache.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from io import BufferedRandom
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sftjobs.store.base import OnBytes
from sftjobs.store.s3client import Connection, status_of

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART = 16 << 20
"""Bytes of one part, unless the file would have more than MAX_PARTS of them."""
MAX_PARTS = 9_000
"""S3 allows 10,000."""
PARTS_AT_ONCE = 8
"""Parts of uploads in memory for one store."""
RANGES_AT_ONCE = 16
"""Ranges of downloads in flight for one store; each needs a few chunks of memory."""
SMALL = 256 << 10
"""Files up to this many bytes do not count as parts: many of them are sent at a time."""
_CHUNK = 1 << 20


class Parts:
    """Transfers over one connection, bounded together however many files are moved at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._slots = threading.BoundedSemaphore(PARTS_AT_ONCE)
        self._ranges = threading.BoundedSemaphore(RANGES_AT_ONCE)

    def put(self, key: str, source: Path, size: int, on_bytes: OnBytes | None) -> str:
        """Create an object by one request; returns the hex SHA-256 of what was sent."""
        with self._slots if size > SMALL else contextlib.nullcontext():
            body = source.read_bytes()
            self._connection.persistently(
                lambda: self._connection.client.put_object(
                    Bucket=self._connection.bucket,
                    Key=key,
                    Body=body,
                    IfNoneMatch="*",
                    **self._connection.integrity(body),
                )
            )
            _report(on_bytes, len(body))
            return hashlib.sha256(body).hexdigest()

    def put_large(self, key: str, source: Path, size: int, on_bytes: OnBytes | None) -> str:
        """Create an object in parts; returns the hex SHA-256 of what was sent. Nothing is left behind on failure."""
        client, bucket = self._connection.client, self._connection.bucket
        algorithm: Any = {"ChecksumAlgorithm": "CRC32"} if self._connection.is_amazon else {}
        upload = client.create_multipart_upload(Bucket=bucket, Key=key, **algorithm)["UploadId"]
        try:
            sent, parts = self._send(key, upload, source, size, on_bytes)
            self._connection.persistently(
                lambda: client.complete_multipart_upload(
                    Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
                )
            )
        except BaseException:
            self._abort(key, upload)
            raise
        return sent

    def _send(
        self, key: str, upload: str, source: Path, size: int, on_bytes: OnBytes | None
    ) -> tuple[str, "list[CompletedPartTypeDef]"]:
        """Send every part; returns the hash of the file and what S3 needs to put the parts together."""
        part_size = max(PART, -(-size // MAX_PARTS))
        hashed = hashlib.sha256()
        sending: list[Future[CompletedPartTypeDef]] = []
        pool = ThreadPoolExecutor(PARTS_AT_ONCE)
        try:
            with source.open("rb", buffering=0) as file:
                while True:
                    self._slots.acquire()
                    body = file.read(part_size)
                    if not body or any(part.done() and part.exception() for part in sending):
                        self._slots.release()
                        break
                    sending.append(pool.submit(self._send_part, key, upload, len(sending) + 1, body, on_bytes))
                    hashed.update(body)
                    del body
            return hashed.hexdigest(), [part.result() for part in sending]
        finally:
            pool.shutdown()

    def _send_part(
        self, key: str, upload: str, number: int, body: bytes, on_bytes: OnBytes | None
    ) -> "CompletedPartTypeDef":
        try:
            integrity = self._connection.integrity(body)
            answer = self._connection.persistently(
                lambda: self._connection.client.upload_part(
                    Bucket=self._connection.bucket,
                    Key=key,
                    UploadId=upload,
                    PartNumber=number,
                    Body=body,
                    **integrity,
                )
            )
            _report(on_bytes, len(body))
            part: CompletedPartTypeDef = {"PartNumber": number, "ETag": answer["ETag"]}
            if self._connection.is_amazon:
                part["ChecksumCRC32"] = answer["ChecksumCRC32"]
            return part
        finally:
            self._slots.release()

    def _abort(self, key: str, upload: str) -> None:
        """Best effort: what stays is removed by `remove_leftovers`."""
        with contextlib.suppress(Exception):
            self._connection.client.abort_multipart_upload(Bucket=self._connection.bucket, Key=key, UploadId=upload)

    def fetch(self, key: str, target: BufferedRandom, on_bytes: OnBytes | None) -> str:
        """Write the object to the empty file `target`; returns the hex SHA-256 of what the file holds then."""
        first = self._connection.persistently(lambda: self._fetch_first(key, target.fileno(), on_bytes))
        size, etag = first
        starts = range(PART, size, PART)
        pool = ThreadPoolExecutor(max(1, min(RANGES_AT_ONCE, len(starts))))
        hashed = hashlib.sha256()
        try:
            coming = [pool.submit(self._fetch_part, key, etag, start, target.fileno(), on_bytes) for start in starts]
            _hash_range(target.fileno(), 0, min(PART, size), hashed.update)
            for start, part in zip(starts, coming, strict=True):
                part.result()
                _hash_range(target.fileno(), start, min(start + PART, size), hashed.update)
        finally:
            pool.shutdown(cancel_futures=True)
        return hashed.hexdigest()

    def digest(self, key: str, on_bytes: OnBytes | None) -> str:
        """Hex SHA-256 of an object that may be larger than any disk: one part at a time, none of it kept."""
        hashed = hashlib.sha256()

        def take(start: int, etag: str | None) -> tuple[bytes, int, str]:
            body, size, version = self._connection.persistently(lambda: self._read_part(key, start, etag))
            hashed.update(body)
            _report(on_bytes, len(body))
            return body, size, version

        _, size, etag = take(0, None)
        for start in range(PART, size, PART):
            take(start, etag)
        return hashed.hexdigest()

    def _read_part(self, key: str, start: int, etag: str | None) -> tuple[bytes, int, str]:
        """Bytes of one part, size of the whole object, its ETag."""
        client, bucket = self._connection.client, self._connection.bucket
        condition: Any = {} if etag is None else {"IfMatch": etag}
        try:
            answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + PART - 1}", **condition)
        except ClientError as error:
            if status_of(error) != 416:
                raise
            answer = client.get_object(Bucket=bucket, Key=key)  # empty: it has no first byte
        with contextlib.closing(answer["Body"]) as stream:
            body: bytes = stream.read()
        span = answer.get("ContentRange", "")
        return body, (int(span.rpartition("/")[2]) if span else len(body)), answer["ETag"]

    def _fetch_first(self, key: str, descriptor: int, on_bytes: OnBytes | None) -> tuple[int, str]:
        """Fetch the first part; returns the size of the whole object and its ETag."""
        client, bucket = self._connection.client, self._connection.bucket
        with self._ranges:
            try:
                answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{PART - 1}")
            except ClientError as error:
                if status_of(error) != 416:
                    raise
                answer = client.get_object(Bucket=bucket, Key=key)  # empty: it has no first byte
            written = _write_stream(answer["Body"], descriptor, 0)
        _report(on_bytes, written)
        span = answer.get("ContentRange", "")
        return (int(span.rpartition("/")[2]) if span else written), answer["ETag"]

    def _fetch_part(self, key: str, etag: str, start: int, descriptor: int, on_bytes: OnBytes | None) -> None:
        def once() -> int:
            answer = self._connection.client.get_object(
                Bucket=self._connection.bucket, Key=key, Range=f"bytes={start}-{start + PART - 1}", IfMatch=etag
            )
            return _write_stream(answer["Body"], descriptor, start)

        with self._ranges:
            _report(on_bytes, self._connection.persistently(once))


def _write_stream(stream: Any, descriptor: int, offset: int) -> int:
    """Write a response body at `offset`; returns its length. Raises IncompleteReadError if it ends early."""
    begin = offset
    with contextlib.closing(stream):
        while chunk := stream.read(_CHUNK):
            view = memoryview(chunk)
            while view:
                done = os.pwrite(descriptor, view, offset)
                offset += done
                view = view[done:]
    return offset - begin


def _hash_range(descriptor: int, start: int, end: int, update: Callable[[bytes], None]) -> None:
    while start < end:
        chunk = os.pread(descriptor, min(_CHUNK, end - start), start)
        if not chunk:
            return  # the file is shorter than it should be: the hash will tell
        update(chunk)
        start += len(chunk)


def _report(on_bytes: OnBytes | None, count: int) -> None:
    if on_bytes is not None:
        on_bytes(count)
