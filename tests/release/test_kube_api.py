"""Requests to an API server that answers badly, on real sockets."""

import json
from pathlib import Path

import pytest
from kubernetes.client import Configuration
from kubernetes.config import ConfigException

from sftjobs.kube import api as kube
from sftjobs.kube.api import Api, ApiError, from_kubeconfig, in_cluster
from tests.support.scripted_api import Answer, ScriptedApi, Stream, answer, event, expired, listing, status, thing

JOB = thing("a", "7")


def error_of(server: ScriptedApi, verb: str = "GET jobs/a") -> ApiError:
    """What a request says that has failed."""
    with pytest.raises(ApiError) as caught:
        server.api().delete("jobs", "a") if verb.startswith("DELETE") else server.api().get("jobs", "a")
    return caught.value


def watch(api: Api, silence_s: float = 5.0) -> list[tuple[str, str]]:
    seen = api.watch("jobs", "run=a", "5", 280, silence_s)
    return [(item["type"], item["object"]["metadata"]["name"]) for item in seen]


# --- one request ------------------------------------------------------------------------------------------------------
def test_a_request_says_who_asks_and_for_what() -> None:
    with ScriptedApi() as server:
        server.script("GET jobs", listing("9", JOB))
        found = server.api(lambda: server.configuration("secret")).list("jobs", "run=a,stage")
    assert (found.items, found.version) == ([JOB], "9")
    asked = server.asked("GET jobs")[0]
    assert (asked.query, asked.headers["User-Agent"]) == ({"labelSelector": "run=a,stage"}, "sftjobs")
    assert asked.headers["authorization"] == "Bearer secret"


def test_a_dry_run_is_asked_for_as_one() -> None:
    with ScriptedApi() as server:
        server.script("POST jobs", answer(JOB, 201))
        server.api().create("jobs", JOB, dry_run=True)
        server.api().create("jobs", JOB)
    assert [request.query for request in server.asked("POST jobs")] == [{"dryRun": "All"}, {}]
    assert server.asked("POST jobs")[0].body == JOB


@pytest.mark.parametrize(
    ("code", "passes"),
    [(400, False), (403, False), (404, False), (409, True), (422, False), (429, True), (500, True), (503, True)],
)
def test_a_refusal_has_the_words_of_the_server(code: int, passes: bool) -> None:
    with ScriptedApi() as server:
        server.script("GET jobs/a", status(code, "Because", "the server says why"))
        error = error_of(server)
    assert (error.status, error.reason, str(error)) == (code, "Because", "the server says why")
    assert error.may_pass is passes


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("86400", 300.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)]
)
def test_retry_after(header: str, seconds: float | None) -> None:
    with ScriptedApi() as server:
        server.script("GET jobs/a", status(429, "TooManyRequests", "later", Retry_After=header))
        assert error_of(server).retry_after_s == seconds


def test_a_refusal_without_words_names_the_request() -> None:
    with ScriptedApi() as server:
        server.script("GET jobs/a", Answer(502, b"<html>bad gateway</html>"))
        error = error_of(server)
    assert "GET /apis/batch/v1/namespaces/team/jobs/a was answered with 502" in str(error)


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[]", b"null", b"\xff\xfe", b""])
def test_an_answer_of_somebody_else(body: bytes) -> None:
    with ScriptedApi() as server:
        server.script("GET jobs/a", Answer(200, body))
        error = error_of(server)
        server.script("GET jobs", Answer(200, b"{}"))
        with pytest.raises(ApiError, match="is a proxy in between"):
            server.api().list("jobs")
    assert error.may_pass
    assert "is a proxy in between" in str(error)


@pytest.mark.parametrize("code", [200, 500])
def test_a_connection_that_breaks_in_the_middle_of_an_answer(code: int) -> None:
    with ScriptedApi() as server:
        server.script("GET jobs/a", Answer(code, json.dumps(JOB).encode(), cut=10))
        assert error_of(server).may_pass


def test_a_server_that_does_not_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "READ_S", 0.2)
    with ScriptedApi() as server:
        server.script("GET jobs/a", Answer(200, b"{}", delay_s=1.0))
        api = server.api()
        with pytest.raises(ApiError, match="cannot be reached") as caught:
            api._send("GET", "/apis/batch/v1/namespaces/team/jobs/a", {}, None, read_s=0.2)
    assert caught.value.status == 0


def test_nobody_listens() -> None:
    with ScriptedApi() as server:
        gone = server.configuration()
    with pytest.raises(ApiError, match=r"cannot be reached: .*refused") as caught:
        Api(lambda: gone, "team").get("jobs", "a")
    assert caught.value.may_pass


def test_deleting_what_is_not_there_is_no_error() -> None:
    with ScriptedApi() as server:
        server.script("DELETE jobs/a", answer({"kind": "Status"}), status(404, "NotFound"), status(403, "Forbidden"))
        api = server.api()
        assert api.delete("jobs", "a", "Foreground", grace_s=3) is True
        assert api.delete("jobs", "a") is False
        assert error_of(server, "DELETE").status == 403
    bodies = [request.body for request in server.asked("DELETE jobs/a")]
    assert bodies[0] == {"propagationPolicy": "Foreground", "gracePeriodSeconds": 3}
    assert bodies[1] == {"propagationPolicy": "Background"}


def test_may_and_log() -> None:
    with ScriptedApi() as server:
        server.script("POST selfsubjectaccessreviews", answer({"status": {"allowed": True}}), answer({"status": {}}))
        server.script("GET pods/p/log", Answer(200, "Zeile \N{SNOWMAN}\n".encode() + b"\xff"))
        api = server.api()
        assert api.may("list", "nodes", everywhere=True) is True
        assert api.may("create", "jobs", "batch") is False
        assert api.log("p", tail=3) == "Zeile \N{SNOWMAN}\n\N{REPLACEMENT CHARACTER}"
    everywhere, here = (request.body for request in server.asked("POST selfsubjectaccessreviews"))
    assert everywhere is not None and "namespace" not in everywhere["spec"]["resourceAttributes"]
    assert here is not None and here["spec"]["resourceAttributes"]["namespace"] == "team"
    assert server.asked("GET pods/p/log")[0].query == {"tailLines": "3"}


# --- credentials ------------------------------------------------------------------------------------------------------
def test_an_expired_token_is_read_again_once() -> None:
    tokens = iter(["old", "new", "never"])
    with ScriptedApi() as server:
        server.script("GET jobs/a", status(401, "Unauthorized"), answer(JOB))
        api = server.api(lambda: server.configuration(next(tokens)))
        assert api.get("jobs", "a") == JOB
        assert api.get("jobs", "a") == JOB
    sent = [request.headers["authorization"] for request in server.asked("GET jobs/a")]
    assert sent == ["Bearer old", "Bearer new", "Bearer new"]


def test_a_token_that_stays_bad_is_an_error_that_may_pass() -> None:
    with ScriptedApi() as server:
        server.script("GET jobs/a", status(401, "Unauthorized", "who are you?"))
        error = error_of(server)
    assert (error.status, error.may_pass, len(server.asked("GET jobs/a"))) == (401, True, 2)


def test_credentials_that_cannot_be_read() -> None:
    def load() -> Configuration:
        raise ConfigException("Service token file does not exist.")

    with pytest.raises(ApiError, match="no credentials for the cluster: Service token file does not exist") as caught:
        Api(load, "team")
    assert caught.value.may_pass, "the kubelet may just be writing it"


def test_outside_of_a_cluster_there_are_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ApiError, match="no credentials"):
        in_cluster("team")


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: dev
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {token: abc}}]
contexts:
  - {name: dev, context: {cluster: here, user: me, namespace: team-a}}
  - {name: bare, context: {cluster: here, user: me}}
"""


def test_the_kubeconfig_gives_the_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    assert from_kubeconfig().namespace == "team-a"
    assert from_kubeconfig("bare").namespace == "default"
    assert from_kubeconfig("bare", "other").namespace == "other"
    with pytest.raises(ApiError, match=r"no context 'prod'; it has: bare, dev"):
        from_kubeconfig("prod")


def test_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(ApiError, match="set KUBECONFIG or give --context"):
        from_kubeconfig()


# --- watches ----------------------------------------------------------------------------------------------------------
def test_a_watch_goes_on_from_where_the_listing_was() -> None:
    with ScriptedApi() as server:
        server.script("WATCH jobs", Stream(event("ADDED", JOB), event("DELETED", JOB)).end())
        assert watch(server.api()) == [("ADDED", "a"), ("DELETED", "a")]
    query = server.asked("WATCH jobs")[0].query
    assert query["resourceVersion"] == "5"
    assert query["allowWatchBookmarks"] == "true"
    assert query["timeoutSeconds"] == "280"


def test_lines_are_put_together_again_wherever_they_were_cut() -> None:
    line = event("ADDED", thing("größe-\N{SNOWMAN}"))
    with ScriptedApi() as server:
        server.script("WATCH jobs", Stream(*(line[n : n + 1] for n in range(len(line))), b"\n", line + line).end())
        assert watch(server.api()) == 3 * [("ADDED", "größe-\N{SNOWMAN}")]


def test_a_watch_that_is_told_to_list_again() -> None:
    with ScriptedApi() as server:
        server.script("WATCH jobs", Stream(event("ADDED", JOB), expired()).end(), status(410, "Gone", "too old"))
        for _ in ("in the stream", "as the answer"):
            with pytest.raises(ApiError, match="too old") as caught:
                watch(server.api())
            assert caught.value.status == 410


@pytest.mark.parametrize(
    "stream",
    [
        Stream(event("ADDED", JOB), event("MODIFIED", JOB)[:-20]).cut(),
        Stream(b"<html>proxy</html>\n").end(),
        Stream(b'{"kind": "Status"}\n').end(),
        Stream(b'{"type": "ADDED", "object": null}\n').end(),
    ],
    ids=["cut in a line", "html", "no event", "no object"],
)
def test_a_watch_that_breaks_is_an_error_that_may_pass(stream: Stream) -> None:
    with ScriptedApi() as server:
        server.script("WATCH jobs", stream)
        with pytest.raises(ApiError) as caught:
            watch(server.api())
    assert caught.value.may_pass


def test_silence_is_noticed() -> None:
    with ScriptedApi() as server:
        server.script("WATCH jobs", Stream(event("ADDED", JOB)))
        with pytest.raises(ApiError, match="nothing was heard") as caught:
            watch(server.api(), silence_s=0.3)
    assert caught.value.reason == kube.SILENT
