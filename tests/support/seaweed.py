"""A real S3 server for tests: SeaweedFS on free ports of this machine, in a folder of its own."""

import contextlib
import ctypes
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"
BUCKET = "sft"
_READY_S = 60.0


@dataclass(frozen=True)
class Seaweed:
    """A running server with one empty bucket."""

    endpoint: str
    """URL of its S3 port."""
    log: Path
    pid: int


@contextmanager
def seaweed(folder: Path | None = None) -> Iterator[Seaweed]:
    """Run the server until the end of the block; its data goes to `folder`, or to a temporary one."""
    with tempfile.TemporaryDirectory(prefix="seaweed-", dir=folder) as data:
        log = Path(data, "server.log")
        command, port = _command(Path(data))
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=data, start_new_session=True, preexec_fn=_die_with_parent
            )
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _wait(endpoint, process, log)
            yield Seaweed(endpoint, log, process.pid)
        finally:
            process.send_signal(signal.SIGKILL)  # its data is thrown away
            process.wait()


def _die_with_parent() -> None:
    """A test run that is killed leaves no server behind (Linux: prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _command(data: Path) -> tuple[list[str], int]:
    """Command line and S3 port."""
    identities = data / "identities.json"
    user = {
        "name": "test",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    identities.write_text(json.dumps({"identities": [user]}))
    ports = free_ports(8)
    roles = ("master", "volume", "filer", "s3")
    listen = [f"-{role}.port={port}" for role, port in zip(roles, ports[:4], strict=True)]
    listen += [f"-{role}.port.grpc={port}" for role, port in zip(roles, ports[4:], strict=True)]
    weed = Path(sys.executable).with_name("weed")
    options = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}", "-filer", "-s3", f"-s3.config={identities}"]
    limits = [
        "-volume.max=30",
        "-master.volumeSizeLimitMB=1024",
        "-master.telemetry=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    return [str(weed), f"-logdir={data}", "server", *options, *limits, *listen], ports[3]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different, below those that the kernel gives to outgoing connections."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found


def client_of(endpoint: str) -> Any:
    """A plain boto3 client for the server: one attempt, the right credentials."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, connect_timeout=1),
    )


def _wait(endpoint: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until there is a bucket, and an object can be written and removed."""
    client = client_of(endpoint)
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"1")
            client.delete_object(Bucket=BUCKET, Key="ready")
            client.close()
            return
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS did not start: {error}\n{log.read_text()[-3000:]}") from error
            time.sleep(0.1)
