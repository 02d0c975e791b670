"""What a person sees who has configured the S3 store wrongly."""

import os
import re
import time
from pathlib import Path

import pytest

from sftjobs.errors import StoreConfigError, StoreError
from sftjobs.names import Exit
from sftjobs.spec.run import StoreSpec
from sftjobs.spec.secret import FromEnv
from sftjobs.store import s3client
from sftjobs.store.open import open_store
from sftjobs.store.probe import probe
from sftjobs.store.s3parts import PART
from tests.support.seaweed import free_ports


def test_wrong_secret(s3_spec: StoreSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SECRET_KEY", "not the secret")
    with pytest.raises(StoreConfigError) as caught:
        probe(open_store(s3_spec, tmp_path))
    message = str(caught.value)
    assert "refused (SignatureDoesNotMatch" in message
    assert "TEST_ACCESS_KEY (store.access_key) and TEST_SECRET_KEY (store.secret_key)" in message
    assert "not the secret" not in message
    assert caught.value.exit_code == Exit.BAD_CONFIG


def test_unknown_access_key(s3_spec: StoreSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ACCESS_KEY", "nobody")
    with pytest.raises(StoreConfigError, match=r"refused \(InvalidAccessKeyId: .* check that they are right and may"):
        list(open_store(s3_spec, tmp_path).list(""))


def test_a_newline_after_a_secret_does_no_harm(
    s3_spec: StoreSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SECRET_KEY", os.environ["TEST_SECRET_KEY"] + "\n")
    probe(open_store(s3_spec, tmp_path))


def test_credentials_from_the_aws_defaults(s3_spec: StoreSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = s3_spec.model_copy(update={"access_key": None, "secret_key": None})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    with pytest.raises(StoreConfigError, match=r"used were the AWS defaults \(AWS_ACCESS_KEY_ID"):
        list(open_store(spec, tmp_path).list(""))


def test_endpoint_from_the_environment(s3_spec: StoreSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert s3_spec.endpoint is not None
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_spec.endpoint)
    probe(open_store(s3_spec.model_copy(update={"endpoint": None}), tmp_path))


def test_no_such_bucket(s3_spec: StoreSpec, tmp_path: Path) -> None:
    spec = s3_spec.model_copy(update={"uri": "s3://no-such-bucket/x"})
    with pytest.raises(StoreConfigError, match="there is no bucket 'no-such-bucket'; create it, or correct `store`"):
        list(open_store(spec, tmp_path).list(""))


def test_nobody_listens(s3_spec: StoreSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}"
    started = time.monotonic()
    with pytest.raises(StoreError) as caught:
        probe(open_store(s3_spec.model_copy(update={"endpoint": endpoint}), tmp_path))
    assert time.monotonic() - started < 30
    assert not isinstance(caught.value, StoreConfigError)
    assert re.search(rf"{endpoint}: writing probe/.* no usable answer after 2 attempts in \d+\.\d s", str(caught.value))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            StoreSpec(uri="s3://b/p", access_key=FromEnv(env="UNSET_A"), secret_key=FromEnv(env="UNSET_B")),
            "store.access_key: the environment variable UNSET_A is not set or empty",
        ),
        (StoreSpec(uri="s3://b/p", access_key=FromEnv(env="UNSET_A")), "give both access_key and secret_key"),
        (StoreSpec(uri="s3://b/p", endpoint="server:9000"), "Invalid endpoint: server:9000; check store.endpoint"),
        (StoreSpec(uri="s3:///p"), "names no bucket; write s3://bucket/prefix"),
        (StoreSpec(uri="gs://b/p"), "'gs://b/p' is neither a folder nor s3://bucket/prefix"),
        (StoreSpec(uri=" "), "the name is empty"),
    ],
)
def test_what_cannot_be_opened(spec: StoreSpec, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET_A", raising=False)
    with pytest.raises(StoreConfigError, match=re.escape(message)):
        open_store(spec, tmp_path)


def test_a_bucket_name_that_cannot_be(s3_spec: StoreSpec, tmp_path: Path) -> None:
    with pytest.raises(StoreConfigError, match="Invalid bucket name"):
        list(open_store(s3_spec.model_copy(update={"uri": "s3://no bucket/x"}), tmp_path).list(""))


def test_the_requests_that_aws_gets(s3_spec: StoreSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With S3's own checksums; the server here checks them too."""
    assert s3_spec.endpoint is not None
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_spec.endpoint)
    monkeypatch.setattr(s3client, "_is_amazon", lambda _endpoint: True)
    store = open_store(s3_spec.model_copy(update={"endpoint": None, "region": "us-east-1"}), tmp_path)
    probe(store)
    for size in (0, 10, 2 * PART + 10):
        source = tmp_path / f"source-{size}"
        source.write_bytes(os.urandom(size))
        digest = store.upload(f"file-{size}", source)
        assert store.upload(f"file-{size}", source) == digest
        assert store.download(f"file-{size}", tmp_path / f"back-{size}") == digest
    assert store.get("file-10").body == (tmp_path / "source-10").read_bytes()
