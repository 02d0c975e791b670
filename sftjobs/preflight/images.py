"""A short Job per image, where stages of its kind would run: is it pulled, does it start, is it of this version?

The pods are those of the stages but for what they run and what they ask for: same pull secrets, placement, security,
volumes and secrets. So this also meets Pod Security, a missing key of the Secret, or a node selector without nodes.
"""

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from sftjobs import __version__, names
from sftjobs.backend.base import Job
from sftjobs.backend.kubernetes import JOB_OF_POD
from sftjobs.kube.api import Api, ApiError, Object
from sftjobs.kube.endings import pod_ending
from sftjobs.kube.objects import conditions, is_over, name_of
from sftjobs.kube.reasons import Reason, why_pending
from sftjobs.plan.types import Kind
from sftjobs.preflight.finding import Finding, failed, not_checked, ok
from sftjobs.preflight.ground import Ground

CHECK = "images"
LIMIT_S = 200.0
"""`helm test` waits 5 minutes unless told otherwise."""
HOPELESS_AFTER_S = 20.0
"""A pull that has failed for so long is not going to succeed."""
POLL_S = 1.0
_PROGRAM = "import sftjobs; print(sftjobs.__version__)"
_SMALL = {"cpu": "10m", "memory": "128Mi", "ephemeral-storage": "64Mi"}
_TODO: dict[str, str] = {
    "image": "correct images in cluster.yaml, or images.pull_secrets; `make images-push` prints what it has pushed",
    "later": "wait for the registry, or the node, that the message names",
    "refused": "correct what the message names in cluster.yaml, or the policy of the namespace",
    "config": "add the key to the Secret that cluster.yaml names (secret)",
    "queue": "make room in the quota of the namespace, or wait",
    "unschedulable": "correct node_selector, tolerations or affinity (pods) of cluster.yaml, or wait for a node",
    "starting": "run `helm test` again: what was begun goes on, so the next one is faster",
}


@dataclass
class _Trial:
    """One Job of ours."""

    image: str
    kinds: list[Kind]
    job: Job
    failing_since: float | None = None
    why: Reason | None = None


def check_images(ground: Ground, limit_s: float = LIMIT_S) -> Iterator[Finding]:
    """One finding per image. The image of the controller is proven by whoever asks: it is the same."""
    api = ground.release.api
    trials = _trials(ground)
    try:
        for trial in trials:
            _create(api, trial.job)
        yield from _watch(api, trials, time.monotonic() + limit_s)
    except ApiError as error:
        yield not_checked(CHECK, str(error), "the preflight needs the right to create, get and delete Jobs")
    finally:
        for trial in trials:
            _delete(api, name_of(trial.job))


def _trials(ground: Ground) -> list[_Trial]:
    found: dict[str, _Trial] = {}
    for intent, job in ground.jobs:
        kind = intent.plan.kind
        image = str(job["spec"]["template"]["spec"]["containers"][0]["image"])
        if image not in found:
            found[image] = _Trial(image, [], short_job(job, f"{ground.release.name}-preflight-{kind}"))
        if kind not in found[image].kinds:
            found[image].kinds.append(kind)
    return list(found.values())


def short_job(stage: Job, name: str) -> Job:
    """The Job of a stage that only says its version. The controller must not take it for one of its own."""
    job = deepcopy(stage)
    spec, metadata = job["spec"], job["metadata"]
    for place in (metadata, spec["template"]["metadata"]):
        drop = (names.LABEL_STAGE, names.LABEL_ATTEMPT, names.LABEL_QUEUE, names.LABEL_QUEUE_PRIORITY)
        kept = {key: value for key, value in place["labels"].items() if key not in drop}
        place["labels"] = {**kept, names.LABEL_ROLE: "preflight"}
    metadata["name"] = name
    metadata["annotations"] = {}
    spec.pop("suspend", None)
    spec |= {"completions": 1, "parallelism": 1, "activeDeadlineSeconds": 1800, "ttlSecondsAfterFinished": 60}
    (container,) = spec["template"]["spec"]["containers"]
    container |= {"command": ["python", "-c", _PROGRAM], "resources": {"requests": _SMALL, "limits": _limits()}}
    return job


def _limits() -> dict[str, str]:
    return {name: amount for name, amount in _SMALL.items() if name != "cpu"}


def _create(api: Api, job: Job) -> None:
    """One that an earlier test has left is in the way."""
    for _ in range(30):
        try:
            api.create("jobs", job)
            return
        except ApiError as error:
            if error.status != 409:
                raise
        _delete(api, name_of(job))
        time.sleep(POLL_S)
    raise ApiError(409, "AlreadyExists", f"job {name_of(job)} of an earlier test does not go away")


def _delete(api: Api, name: str) -> None:
    try:
        api.delete("jobs", name)
    except ApiError:
        return  # it belongs to the release, and ends by itself


def _watch(api: Api, trials: list[_Trial], deadline: float) -> Iterator[Finding]:
    waiting = list(trials)
    while waiting:
        for trial in list(waiting):
            finding = _look(api, trial)
            if finding is None and time.monotonic() > deadline:
                finding = _too_late(trial)
            if finding is not None:
                yield finding
                waiting.remove(trial)
        time.sleep(POLL_S if waiting else 0)


def _look(api: Api, trial: _Trial) -> Finding | None:
    """What can be said about the image now, if anything."""
    name = name_of(trial.job)
    job = api.get("jobs", name)
    pods = api.list("pods", f"{JOB_OF_POD}={name}").items
    if pods and all(is_over(pod) for pod in pods):
        return _ended(api, trial, pods[0])
    if "Failed" in conditions(job):
        return failed(CHECK, f"{trial.image}: {conditions(job)['Failed'].get('message')}", "run `helm test` again")
    if job["spec"].get("suspend"):
        text = "this cluster suspends Jobs that name no queue, and so the controller's: it would never start"
        return failed(CHECK, text, "have the namespace exempted (manageJobsNamespaceSelector of Kueue)")
    trial.why = why_pending(job, pods, _events(api, {name, *map(name_of, pods)}), None)
    if not trial.why.is_failure and trial.why.kind != "unschedulable":
        trial.failing_since = None
        return None
    if trial.failing_since is None:
        trial.failing_since = time.monotonic()
    if trial.why.kind in ("later", "unschedulable") or time.monotonic() - trial.failing_since < HOPELESS_AFTER_S:
        return None
    return failed(CHECK, f"{_of(trial)}: {trial.why.text}", _TODO[trial.why.kind])


def _events(api: Api, subjects: set[str]) -> list[Object]:
    return [event for event in api.list("events").items if event["involvedObject"].get("name") in subjects]


def _ended(api: Api, trial: _Trial, pod: Object) -> Finding:
    if pod["status"]["phase"] == "Failed":
        todo = "is it an image of this project, with Python and sftjobs in it? `make images` builds them"
        return failed(CHECK, f"{_of(trial)}: {pod_ending(pod).message}", todo)
    version = api.log(name_of(pod), tail=1).strip()
    if version != __version__:
        text = f"{_of(trial)}: is of version {version}, the controller of {__version__}"
        return failed(CHECK, text, "name images of one version in cluster.yaml")
    return ok(CHECK, f"{_of(trial)}: pulled and started, version {version}")


def _too_late(trial: _Trial) -> Finding:
    why = trial.why or Reason("starting", "starting")
    text = f"{_of(trial)}: {why.text}"
    if why.kind in ("unschedulable", "queue"):
        return failed(CHECK, text, _TODO[why.kind])
    return not_checked(CHECK, text, _TODO[why.kind])


def _of(trial: _Trial) -> str:
    return f"{trial.image} ({', '.join(trial.kinds)})"
