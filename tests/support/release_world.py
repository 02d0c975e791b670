"""A release and its run for tests: a scripted API server, a real store, and controllers that are processes in all but
name."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sftjobs import names, runs
from sftjobs.attempts import Intent
from sftjobs.canonical import sha256
from sftjobs.controller.loop import Controls, OnTrouble
from sftjobs.kube.api import Object
from sftjobs.objects import JobSettings, build_job
from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from sftjobs.plan.types import RunPlan
from sftjobs.release.chain import ReleaseRun, request_of, run_release
from sftjobs.release.owner import owner_of
from sftjobs.release.release import read_release
from sftjobs.runs import Verdict, create_run
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store
from sftjobs.store.open import open_store
from tests.support.scripted_api import ScriptedApi, answer, listing
from tests.support.specs import make_facts, make_spec

RUN_YAML = "name: demo\n"
JOB = "demo-data-a0"


def anchor(uid: str = "u1", text: str = RUN_YAML) -> Object:
    return {"metadata": {"name": "demo-anchor", "uid": uid,
                         "annotations": {names.ANNOTATION_RUN_HASH: sha256(text.encode())}}}  # fmt: skip


def config(text: str = RUN_YAML, **cluster: Any) -> Object:
    return {"metadata": {"name": "demo-run"}, "data": {names.RUN_YAML: text, names.CLUSTER_KEY: json.dumps(cluster)}}


def stamp(age_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age_s))


@contextmanager
def release_server() -> Iterator[ScriptedApi]:
    """A release is installed, and nothing runs."""
    with ScriptedApi() as found:
        found.quiet("jobs", "pods")
        found.script("GET events", listing("1"))
        found.script("GET configmaps/demo-anchor", answer(anchor()))
        found.script("GET configmaps/demo-run", answer(config()))
        yield found


class World:
    """The run of the release in a folder store. Each `controller` is a new process in all but name."""

    def __init__(self, folder: Path, server: ScriptedApi) -> None:
        self.server = server
        self.store: Store = open_store("store", folder)
        resources = {"data": {"gpus_per_node": 1}}
        self.plan: RunPlan = make(make_spec(resources=resources), make_facts())
        self.run_id = create_run(self.store, self.plan, RUN_YAML.encode(), owner_of("demo", "team"))

    def controller(
        self, again: str = "", controls: Controls | None = None, on_trouble: OnTrouble = lambda _: None
    ) -> Verdict:
        release = read_release(self.server.api(), "demo")
        run = ReleaseRun(release, self.store, StoreSpec(uri="s3://b/x"), self.plan, self.run_id)
        return run_release(
            run,
            controls=controls or Controls(),
            request=request_of(release, again),
            on_tick=lambda _: None,
            on_trouble=on_trouble,
        )

    def created(self) -> list[str]:
        return [request.body["metadata"]["name"] for request in self.server.asked("POST jobs") if request.body]

    def kinds(self) -> list[str]:
        return [item.kind for _, item in runs.read_events(self.store, self.run_id)]

    def job(self, age_s: float) -> Object:
        """The Job of the first attempt of the first stage, as the server would show it without a status."""
        intent = Intent(run_id=self.run_id, attempt=0, job=JOB, plan=finish(self.plan, "data", {}), created=0.0)
        job = build_job(intent, JobSettings(store=StoreSpec(uri="s3://b/x"), namespace="team"))
        job["metadata"] |= {"resourceVersion": "7", "uid": "j", "creationTimestamp": stamp(age_s)}
        return job
