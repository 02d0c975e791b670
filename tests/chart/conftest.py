"""Every test of the chart runs with both versions of Helm."""

import pytest

from tests.support.helm import VERSIONS, Helm


@pytest.fixture(params=VERSIONS, scope="session")
def helm(request: pytest.FixtureRequest) -> Helm:
    return Helm(request.param)
