"""A release as its controller sees it, and its run from plan to verdict: a scripted API server, a real store.

No Job of these tests ever works: what the real cluster does with them is tested in tests/cluster.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftjobs import names, runs
from sftjobs.backend.base import BackendError, ReleaseGoneError
from sftjobs.controller.loop import Controls
from sftjobs.controller.status import run_state
from sftjobs.errors import DataError
from sftjobs.kube.api import ApiError
from sftjobs.release import release as module
from sftjobs.release import waiting
from sftjobs.release.chain import request_of
from sftjobs.release.owner import namespace_of, owner_of
from sftjobs.release.release import Release, read_release
from tests.support.release_world import JOB, RUN_YAML, World, anchor, config, release_server, stamp
from tests.support.scripted_api import Answer, Request, ScriptedApi, answer, status


@pytest.fixture
def server() -> Iterator[ScriptedApi]:
    with release_server() as found:
        yield found


# --- what was installed -----------------------------------------------------------------------------------------------
def test_a_release(server: ScriptedApi) -> None:
    server.script("GET configmaps/demo-run", answer(config(queue="team-a", gpu_hours=4)))
    found = read_release(server.api(), "demo")
    assert (found.run_text, found.cluster.queue, found.cluster.gpu_hours) == (RUN_YAML.encode(), "team-a", 4)
    assert (found.owner.name, found.owner.uid) == ("demo-anchor", "u1")


def test_another_run_yaml_is_refused(server: ScriptedApi) -> None:
    """As after an `helm upgrade --force`, or an edit by hand."""
    server.script("GET configmaps/demo-run", answer(config("name: other\n")))
    with pytest.raises(DataError, match="a release is one run: install the other under another name"):
        read_release(server.api(), "demo")


def test_what_is_no_release(server: ScriptedApi) -> None:
    server.script("GET configmaps/demo-anchor", status(404, "NotFound", "none"))
    with pytest.raises(DataError, match="namespace team has no ConfigMap demo-anchor: install it with the chart"):
        read_release(server.api(), "demo")
    server.script("GET configmaps/demo-anchor", status(403, "Forbidden", "may not"))
    with pytest.raises(ApiError, match="may not"):
        read_release(server.api(), "demo")


def test_a_chart_of_another_version(server: ScriptedApi) -> None:
    server.script("GET configmaps/demo-run", answer(config(quue="team-a")))
    with pytest.raises(DataError, match=r"cluster\.yaml: quue: .*; chart and image must be of one version"):
        read_release(server.api(), "demo")


def test_cluster_yaml_is_read_again_now_and_then(server: ScriptedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLUSTER_EVERY_S", 0.1)
    found = read_release(server.api(), "demo")
    server.script("GET configmaps/demo-run", answer(config(gpu_hours=7)), status(503, "Unavailable", "starting"))
    found.look_now_and_then()
    assert found.cluster.gpu_hours is None, "not yet"
    time.sleep(0.11)
    found.look_now_and_then()
    assert found.cluster.gpu_hours == 7
    with pytest.raises(BackendError, match="starting"):
        found.latest()
    time.sleep(0.11)
    server.script("GET configmaps/demo-anchor", answer(anchor("u2")))
    with pytest.raises(ReleaseGoneError):
        found.look_now_and_then()


# --- its run ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def world(server: ScriptedApi, tmp_path: Path) -> World:
    return World(tmp_path, server)


REFUSED = status(422, "Invalid", "spec.template.spec.tolerations[0].key: Invalid value")


def test_a_job_that_the_cluster_refuses_is_a_mistake_of_somebody(world: World) -> None:
    world.server.script("POST jobs", REFUSED)
    verdict = world.controller()
    assert (verdict.outcome, verdict.stage, verdict.failure, verdict.exit_code) == ("failed", "data", "config", 10)
    assert "tolerations[0].key" in verdict.message
    assert world.created() == [JOB]


def test_a_controller_that_is_started_again_says_the_same(world: World) -> None:
    """Its Job does so after a node was lost between the verdict and its exit."""
    world.server.script("POST jobs", REFUSED)
    first = world.controller()
    assert world.controller() == first
    assert world.created() == [JOB], "nothing is tried again by itself"


def test_again_is_another_request(world: World) -> None:
    world.server.script("POST jobs", REFUSED)
    world.controller()
    assert world.controller(again="1").message.count("tolerations") == 1
    assert world.created() == [JOB, "demo-data-a1"]
    assert world.controller(again="1") == world.controller(again="1")
    assert len(world.created()) == 2


def test_another_installation_is_another_request(world: World) -> None:
    world.server.script("POST jobs", REFUSED)
    world.controller()
    world.server.script("GET configmaps/demo-anchor", answer(anchor("u2")))
    world.controller()
    assert world.created() == [JOB, "demo-data-a1"]
    owners = [request.body["metadata"]["ownerReferences"][0]["uid"] for request in world.server.asked("POST jobs")
              if request.body]  # fmt: skip
    assert owners == ["u1", "u2"], "each Job goes with its installation"


def test_an_attempt_that_outlives_its_installation_counts_in_the_next_one(world: World) -> None:
    """Uninstalled in the middle of a stage, and installed again: it is that attempt that goes on, and no cache hit."""
    controls = Controls()
    world.server.script("POST jobs", lambda _: (controls.leave(), status(503, "Unavailable", "starting"))[1])
    world.controller(controls=controls)
    world.server.script("GET configmaps/demo-anchor", answer(anchor("u2")))
    world.server.script("POST jobs", REFUSED)
    assert world.controller().failure == "config"
    assert world.created() == [JOB, JOB], "a mistake is not tried again"
    session = runs.current_session(world.store, world.run_id)
    assert session is not None and (session.number, session.attempts["data"]) == (1, 0)


def test_an_uninstalled_release_makes_nothing(world: World) -> None:
    release = read_release(world.server.api(), "demo")
    world.server.script("GET configmaps/demo-anchor", answer(anchor()), status(404, "NotFound", "none"))
    with pytest.raises(ReleaseGoneError, match="was uninstalled"):
        world.controller()
    assert world.created() == []
    session = runs.current_session(world.store, world.run_id)
    assert session is not None and runs.read_verdict(world.store, world.run_id, session.number) is None
    assert release.anchor.uid == "u1"


def test_a_changed_cluster_yaml_is_for_later_jobs(world: World) -> None:
    world.server.script("GET configmaps/demo-run", answer(config()), answer(config(labels={"team": "nlp"})))
    world.server.script("POST jobs", REFUSED)
    world.controller()
    (asked,) = world.server.asked("POST jobs")
    assert asked.body is not None and asked.body["metadata"]["labels"]["team"] == "nlp"


def test_another_address_of_the_store_is_for_later_jobs(world: World) -> None:
    moved = config(store={"endpoint": "http://store.new:8333"})
    world.server.script("GET configmaps/demo-run", answer(config()), answer(moved))
    world.server.script("POST jobs", REFUSED)
    world.controller()
    (asked,) = world.server.asked("POST jobs")
    assert asked.body is not None
    environ = asked.body["spec"]["template"]["spec"]["containers"][0]["env"]
    (store,) = [json.loads(item["value"]) for item in environ if item["name"] == names.ENV_STORE]
    assert store == {"uri": "s3://b/x", "endpoint": "http://store.new:8333"}


def test_a_cluster_yaml_that_does_not_fit_ends_no_run(world: World) -> None:
    """An upgrade of the chart with the image of an older controller; the run waits for the next upgrade."""
    wrong, right = answer(config(quue="team-a")), answer(config(labels={"team": "nlp"}))
    world.server.script("GET configmaps/demo-run", answer(config()), wrong, right)
    world.server.script("POST jobs", REFUSED)
    troubles: list[str] = []
    world.controller(on_trouble=lambda trouble: troubles.append(trouble.message if trouble else ""))
    assert "cluster.yaml: quue:" in troubles[0] and "`helm upgrade`" in troubles[0]
    (asked,) = world.server.asked("POST jobs")
    assert asked.body is not None and asked.body["metadata"]["labels"]["team"] == "nlp"


def test_changed_patience_is_for_jobs_that_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was too short for a slow registry can be made longer while it is waited for, and the other way round."""
    monkeypatch.setattr(module, "CLUSTER_EVERY_S", 0.2)
    short, late = config(start_patience_s=60), stamp(7200)

    def made(request: Request) -> Answer:
        assert request.body is not None
        world.server.script("GET configmaps/demo-run", answer(short))
        metadata = {**request.body["metadata"], "resourceVersion": "7", "uid": "j", "creationTimestamp": late}
        return answer({**request.body, "metadata": metadata, "status": {"startTime": late}}, 201)

    controls = Controls()
    world.server.script("POST jobs", made)
    world.server.script(f"DELETE jobs/{JOB}", lambda _: (controls.leave(), answer({}))[1])
    assert world.controller(controls=controls).outcome == "left"
    (result,) = [attempt.result for attempt in runs.read_attempts(world.store, world.run_id)["data"]]
    assert result is not None and result.termination.failure == "infrastructure"


def test_status_says_why_the_cluster_takes_no_job_yet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no Job whose pods could be looked at: without a note the stage would seem to be starting."""
    monkeypatch.setattr(waiting, "SETTLED_S", 0.1)
    controls, asked = Controls(), []

    def full(request: Request) -> Answer:
        asked.append(request)
        if len(asked) == 3:
            controls.leave()
        return status(403, "Forbidden", 'jobs.batch "x" is forbidden: exceeded quota: team, used: count/jobs.batch=5')

    world.server.script("POST jobs", full)
    assert world.controller(controls=controls).outcome == "left"
    stage = run_state(world.store, world.run_id).stages[0]
    assert stage.state == "waiting"
    assert "does not take its job yet" in stage.message and "exceeded quota: team" in stage.message
    assert world.kinds().count(names.EVENT_WAITING) == 1


def test_leaving_touches_nothing(world: World) -> None:
    controls = Controls()

    def made(request: Request) -> Answer:
        assert request.body is not None
        controls.leave()
        metadata = {**request.body["metadata"], "resourceVersion": "7", "uid": "j", "creationTimestamp": stamp(0)}
        return answer({**request.body, "metadata": metadata, "status": {}}, 201)

    world.server.script("POST jobs", made)
    assert world.controller(controls=controls).outcome == "left"
    assert not world.server.asked(f"DELETE jobs/{JOB}")
    assert not world.store.list_folders(names.run_lease(world.run_id)), "another controller may begin at once"


def test_the_owner_names_the_namespace() -> None:
    assert namespace_of(owner_of("demo", "team")) == "team"


def test_what_a_request_is_made_of(server: ScriptedApi) -> None:
    release: Release = read_release(server.api(), "demo")
    requests = {request_of(release, again) for again in ("", "0", "1")}
    assert requests == {"u1/0 of demo-anchor", "u1/1 of demo-anchor"}
