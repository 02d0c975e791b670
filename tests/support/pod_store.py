"""A real S3 server that pods can reach, with a proxy between that makes its faults.

with pod_store() as store:
    store.spec("prefix")            for run.yaml: this machine talks to the server itself
    store.pod_endpoint(host)        for cluster.yaml: pods talk through the proxy
    with store.down(): ...
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sftjobs.spec.run import StoreSpec
from tests.support import seaweed
from tests.support.faultproxy import (
    ANY,
    FOREVER,
    Fault,
    FaultProxy,
    Forward,
    HangUp,
    Request,
    Response,
    answer,
    lose_request,
)

SECRET = {"TEST_ACCESS_KEY": seaweed.ACCESS_KEY, "TEST_SECRET_KEY": seaweed.SECRET_KEY}
"""Content of the Secret `sftjobs`, and environment of the CLI."""


class PodStore:
    """The server, for one test session; each run has a prefix of its own."""

    def __init__(self, server: seaweed.Seaweed, proxy: FaultProxy) -> None:
        self._server = server
        self.proxy = proxy

    def spec(self, prefix: str) -> StoreSpec:
        return StoreSpec.model_validate(
            {
                "uri": f"s3://{seaweed.BUCKET}/{prefix}",
                "endpoint": self._server.endpoint,
                "region": "us-east-1",
                "access_key": {"env": "TEST_ACCESS_KEY"},
                "secret_key": {"env": "TEST_SECRET_KEY"},
            }
        )

    def pod_endpoint(self, host: str) -> str:
        return f"http://{host}:{self.proxy.port}"

    @contextmanager
    def fault(self, faults: Sequence[Fault]) -> Iterator[None]:
        """Pods see these faults until the end of the block."""
        self.proxy.script(*faults)
        try:
            yield
        finally:
            self.proxy.clear()

    def down(self, path: str = ANY) -> Sequence[Fault]:
        """Every connection ends without an answer."""
        return [lose_request(ANY, path, times=FOREVER)]

    def falls_at(self, method: str, path: str, *, answered: bool) -> threading.Event:
        """The next such request is the last before the store is down; `answered`: this one still succeeds."""
        fallen = threading.Event()

        def act(request: Request, forward: Forward) -> Response:
            response = forward(request) if answered else None
            self.proxy.script(*self.down())
            fallen.set()
            if response is None:
                raise HangUp
            return response

        self.proxy.script(Fault(method, path, act))
        return fallen

    def read_only(self) -> Sequence[Fault]:
        """What a bucket policy without the right to write answers."""
        return [answer(method, ANY, 403, "AccessDenied", times=FOREVER) for method in ("PUT", "POST", "DELETE")]


@contextmanager
def pod_store() -> Iterator[PodStore]:
    """Only the proxy listens beyond this machine's loopback."""
    with seaweed.seaweed() as server, FaultProxy(server.endpoint, bind="0.0.0.0") as proxy:
        yield PodStore(server, proxy)
