"""Fixtures of the store tests: one SeaweedFS for the session, fresh stores for every test."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftjobs.spec.run import StoreSpec
from sftjobs.spec.secret import FromEnv
from sftjobs.store.base import Store
from sftjobs.store.open import open_store
from tests.support.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed, seaweed


@pytest.fixture(scope="session")
def server() -> Iterator[Seaweed]:
    with seaweed() as running:
        yield running


@pytest.fixture
def s3_spec(server: Seaweed, monkeypatch: pytest.MonkeyPatch) -> StoreSpec:
    """A fresh prefix on the server, with the right credentials in the environment."""
    monkeypatch.setenv("TEST_ACCESS_KEY", ACCESS_KEY)
    monkeypatch.setenv("TEST_SECRET_KEY", SECRET_KEY)
    return StoreSpec(
        uri=f"s3://{BUCKET}/{secrets.token_hex(8)}",
        endpoint=server.endpoint,
        access_key=FromEnv(env="TEST_ACCESS_KEY"),
        secret_key=FromEnv(env="TEST_SECRET_KEY"),
    )


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "folder":
        return open_store("store", tmp_path)
    return open_store(request.getfixturevalue("s3_spec"), tmp_path)
