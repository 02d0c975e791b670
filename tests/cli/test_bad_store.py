"""Stores that cannot be used, as `sftjobs run` tells it: before anything is started."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftjobs.names import Exit
from tests.support.cli_run import RUN, Answer, CliRun
from tests.support.faultproxy import FOREVER, FaultProxy, answer, ignore_condition
from tests.support.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed, client_of, free_ports, seaweed

KEYS = {"TEST_ACCESS": ACCESS_KEY, "TEST_SECRET": SECRET_KEY, "AWS_MAX_ATTEMPTS": "2"}


@pytest.fixture(scope="module")
def server() -> Iterator[Seaweed]:
    with seaweed() as running:
        yield running


@pytest.fixture
def proxy(server: Seaweed) -> Iterator[FaultProxy]:
    with FaultProxy(server.endpoint) as running:
        yield running


def run_on(sft: CliRun, endpoint: str, **variables: str) -> Answer:
    keys = "access_key: {env: TEST_ACCESS}, secret_key: {env: TEST_SECRET}"
    sft.write("run.yaml", RUN + f"store: {{uri: 's3://{BUCKET}/x', endpoint: '{endpoint}', {keys}}}\n")
    return sft("run", **variables)


def test_unreachable(sft: CliRun) -> None:
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}"
    said = run_on(sft, endpoint, **KEYS)
    assert said.code == Exit.INFRASTRUCTURE
    assert f"error: s3://{BUCKET}/x at {endpoint}: writing probe/" in said.err
    assert "no usable answer after 2 attempts" in said.err
    assert "is the endpoint right and running?" in said.err


def test_wrong_credentials(sft: CliRun, server: Seaweed) -> None:
    said = run_on(sft, server.endpoint, **{**KEYS, "TEST_SECRET": "not-the-secret"})
    assert said.code == Exit.BAD_CONFIG
    assert "SignatureDoesNotMatch" in said.err
    assert "store.secret_key" in said.err, "which key of run.yaml to mend"
    assert "not-the-secret" not in said.text


def test_credentials_that_are_not_set(sft: CliRun, server: Seaweed) -> None:
    said = run_on(sft, server.endpoint)
    assert said.code == Exit.BAD_CONFIG
    assert "store.access_key: the environment variable TEST_ACCESS is not set or empty; set it" in said.err


def test_without_conditional_writes(sft: CliRun, server: Seaweed, proxy: FaultProxy) -> None:
    client = client_of(server.endpoint)

    def put(path: str, body: bytes) -> str:
        bucket, _, key = path.lstrip("/").partition("/")
        return str(client.put_object(Bucket=bucket, Key=key, Body=body)["ETag"])

    proxy.script(ignore_condition("if-none-match", put))
    said = run_on(sft, proxy.endpoint, **KEYS)
    assert said.code == Exit.BAD_CONFIG
    assert "no conditional writes: an object was created twice; runs would overwrite each other's results" in said.err
    assert "docs/store.md" in said.err


def test_read_only_server(sft: CliRun, proxy: FaultProxy) -> None:
    proxy.script(answer("PUT", "", 403, "AccessDenied", FOREVER), answer("DELETE", "", 403, "AccessDenied", FOREVER))
    said = run_on(sft, proxy.endpoint, **KEYS)
    assert said.code == Exit.BAD_CONFIG
    assert "refused (AccessDenied" in said.err


def test_read_only_folder(sft: CliRun, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,ro", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        if os.geteuid() == 0:
            pytest.skip("mounting is not permitted here, and root may write everywhere")
        disk.chmod(0o500)
    try:
        sft.write("run.yaml", RUN + f"store: {disk}\n")
        said = sft("run")
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", disk], check=True)
    assert said.code == Exit.BAD_CONFIG
    expected = "the file system is mounted read-only; choose another store or remount it"
    assert (expected if mounted.returncode == 0 else "permission denied") in said.err
    assert f"error: {disk}: while writing probe/" in said.err


def test_a_file_as_store(sft: CliRun) -> None:
    sft.write("run.yaml", RUN + "store: train.jsonl\n")
    said = sft("run")
    assert said.code == Exit.BAD_CONFIG
    assert f"{sft.folder}/train.jsonl: the store has to be a folder, and there is a file with this name" in said.err


def test_something_else_as_store(sft: CliRun) -> None:
    sft.write("run.yaml", RUN + "store: gs://bucket\n")
    said = sft("run")
    assert said.code == Exit.BAD_CONFIG
    assert "run.yaml:9: store: gs:// is not supported; use a folder or s3://bucket/prefix" in said.err
