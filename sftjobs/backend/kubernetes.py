"""Jobs in a Kubernetes namespace.

What is known comes from two informers, so an idle run costs the API server next to nothing. Requests that change
something are idempotent: a Job has a deterministic name, and one that exists is ours if it has our run and stage key.
The anchor of the release is asked for before anything is made: when it is gone, so is the right to make Jobs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NoReturn

from sftjobs import names
from sftjobs.backend.base import BackendError, Job, JobStatus, RefusedJobError, ReleaseGoneError
from sftjobs.kube.api import Api, ApiError, Object
from sftjobs.kube.informer import Informer
from sftjobs.kube.job_status import Patience, hopeless, is_lost, job_status, orphan_status, pending_since
from sftjobs.kube.objects import annotation, is_over, label, name_of
from sftjobs.kube.pulls import pull_times
from sftjobs.kube.reasons import why_pending
from sftjobs.spec.cluster import ClusterSpec

PULL_PATIENCE_S = 600.0
"""A registry that is busy or away gets so long before the attempt counts as failed."""
NOTES_AFTER_S = 3.0
"""A Job that starts at once needs no explanation."""
NOTES_EVERY_S = 20.0
"""Events are asked for at most so often per pending Job, and only then."""
JOB_OF_POD = "batch.kubernetes.io/job-name"
UID_OF_JOB = "batch.kubernetes.io/controller-uid"


@dataclass
class _Notes:
    """What was read about a pending Job: its events, and its Workload if there is a queue."""

    read: float = float("-inf")
    events: Sequence[Object] = ()
    workload: Object | None = None
    failing_since: float | None = None
    """Monotonic time since which waiting looks futile."""


@dataclass
class Anchor:
    """The ConfigMap that owns every Job of the release."""

    api: Api
    name: str
    uid: str

    def check(self) -> None:
        """Raises ReleaseGoneError if it is gone or another one; BackendError if that cannot be known."""
        try:
            found = self.api.get("configmaps", self.name)
        except ApiError as error:
            if error.status == 404:
                raise ReleaseGoneError(f"ConfigMap {self.name} is gone: the release was uninstalled") from error
            raise _trouble(error) from error
        if found["metadata"]["uid"] != self.uid or "deletionTimestamp" in found["metadata"]:
            raise ReleaseGoneError(f"ConfigMap {self.name} is another one now: the release was installed anew")


@dataclass
class KubernetesBackend:
    """`run` is the name of the run, which all its objects carry as label."""

    api: Api
    run: str
    anchor: Anchor | None = None
    patience: Patience = field(default_factory=lambda: patience_of(ClusterSpec()))
    on_change: Callable[[], None] = lambda: None
    """Called from another thread when something may have changed."""

    def __post_init__(self) -> None:
        labels = f"{names.LABEL_RUN}={self.run},{names.LABEL_STAGE}"
        self._jobs = Informer(self.api, "jobs", labels, self.on_change)
        self._pods = Informer(self.api, "pods", labels, self.on_change)
        self._notes: dict[str, _Notes] = {}
        self._pulls: dict[str, Mapping[str, float]] = {}
        self._last_pods: dict[str, Sequence[Object]] = {}
        """Pods of ended Jobs that the copy did not have, asked for once."""

    def create(self, job: Job) -> None:
        """Raises BackendError, RefusedJobError, ReleaseGoneError."""
        if self.anchor is not None:
            self.anchor.check()
        try:
            made = self.api.create("jobs", job)
        except ApiError as error:
            if error.status != 409:
                _refused(name_of(job), error)
            made = self._existing(job)
        self._jobs.put(made)

    def list(self, run_id: str) -> list[JobStatus]:
        """Every Job of the run that exists, and those whose pods outlive them. Raises BackendError."""
        try:
            every = self._jobs.snapshot()
            pods = self._pods.snapshot()
        except ApiError as error:
            raise _trouble(error) from error
        jobs = [job for job in every if annotation(job, names.ANNOTATION_RUN_ID) == run_id]
        others = {name_of(job) for job in every} - {name_of(job) for job in jobs}
        by_job: dict[str, list[Object]] = {}
        for pod in pods:
            by_job.setdefault(label(pod, JOB_OF_POD), []).append(pod)
        try:
            found = [self._status(job, [p for p in by_job.pop(name_of(job), []) if _is_of(p, job)]) for job in jobs]
        except ApiError as error:
            raise _trouble(error) from error
        now = time.time()
        living = {
            name: [pod for pod in orphans if not is_over(pod) and not is_lost(pod, now)]
            for name, orphans in by_job.items()
        }
        return found + [
            orphan_status(name, orphans) for name, orphans in living.items() if orphans and name not in {"", *others}
        ]

    def delete(self, run_id: str, name: str, grace_s: float | None = None) -> None:
        """The pods get TERM and their own grace; the Job stays visible until they have ended.

        `grace_s` of 0 ends pods at once where whoever asks may delete pods, which the controller in a cluster may not.
        """
        try:
            if grace_s == 0:
                self._force(name)
            self.api.delete("jobs", name, "Foreground")
        except ApiError as error:
            raise _trouble(error) from error

    def _force(self, name: str) -> None:
        for pod in self._pods.snapshot():
            if label(pod, JOB_OF_POD) == name:
                try:
                    self.api.delete("pods", name_of(pod), grace_s=0)
                except ApiError as error:
                    if error.status != 403:
                        raise

    def _existing(self, job: Job) -> Object:
        """The Job that has the name already, if it is this one. Raises BackendError."""
        name = name_of(job)
        try:
            found = self.api.get("jobs", name)
        except ApiError as error:
            raise _trouble(error) from error
        if "deletionTimestamp" in found["metadata"]:
            raise BackendError(f"job {name} is still being deleted; its successor has the same name")
        for key in (names.ANNOTATION_RUN_ID, names.ANNOTATION_STAGE_KEY):
            if annotation(found, key) != annotation(job, key):
                is_, wanted = annotation(found, key) or "none", annotation(job, key)
                raise BackendError(f"job {name} exists already with {key} {is_}, wanted {wanted}; delete it")
        return found

    def _status(self, job: Object, pods: Sequence[Object]) -> JobStatus:
        status = self._heard(job, pods)
        if status.phase != "pending":
            self._notes.pop(status.name, None)
            return replace(status, times={**status.times, **self._pull_of(status.name, pods)})
        pending_s = time.time() - (pending_since(job) or time.time())
        notes = self._notes_of(job, pods, wanted=pending_s > NOTES_AFTER_S)
        reason = why_pending(job, [pod for pod in pods if not is_over(pod)], notes.events, notes.workload)
        now = time.monotonic()
        if not reason.is_failure:
            notes.failing_since = None
        elif notes.failing_since is None:
            notes.failing_since = now
        failing_s = now - notes.failing_since if notes.failing_since is not None else 0.0
        return replace(status, detail=reason.text, hopeless=hopeless(reason, failing_s, pending_s, self.patience))

    def _heard(self, job: Object, pods: Sequence[Object]) -> JobStatus:
        """Jobs and pods are two copies: before pods count as gone with their last words, the server is asked."""
        status = job_status(job, pods, time.time())
        if status.phase != "ended" or not status.unheard:
            return status
        if status.name not in self._last_pods:
            found = self.api.list("pods", f"{JOB_OF_POD}={status.name}").items
            self._last_pods[status.name] = [pod for pod in found if _is_of(pod, job)]
        return job_status(job, self._last_pods[status.name] or pods, time.time())

    def _notes_of(self, job: Object, pods: Sequence[Object], wanted: bool) -> _Notes:
        """Events about a pending Job; what cannot be read is not worth an error."""
        notes = self._notes.setdefault(name_of(job), _Notes())
        if not wanted or time.monotonic() - notes.read < NOTES_EVERY_S:
            return notes
        notes.read = time.monotonic()
        subjects = {name_of(job), *map(name_of, pods)}
        try:
            events = self.api.list("events").items if len(subjects) > 4 else self._events_of(subjects)
            notes.events = [item for item in events if item["involvedObject"].get("name") in subjects]
            if job["spec"].get("suspend"):
                found = self.api.list("workloads", f"kueue.x-k8s.io/job-uid={job['metadata']['uid']}").items
                notes.workload = found[0] if found else {}
        except ApiError:
            pass
        return notes

    def _pull_of(self, job: str, pods: Sequence[Object]) -> Mapping[str, float]:
        """How long its image took, asked for once: soon after the start, while the events are still there."""
        if job not in self._pulls and pods:
            self._pulls[job] = {}
            with suppress(ApiError):  # it is only worth a note in the report
                self._pulls[job] = pull_times(self._events_of({name_of(pods[0])}))
        return self._pulls.get(job, {})

    def _events_of(self, subjects: set[str]) -> Sequence[Object]:
        return [
            event
            for name in sorted(subjects)
            for event in self.api.list("events", fields=f"involvedObject.name={name}").items
        ]


def _is_of(pod: Object, job: Object) -> bool:
    """False for a pod of an earlier Job of the same name: one that was deleted by hand is made again."""
    return label(pod, UID_OF_JOB) in ("", job["metadata"].get("uid"))


def patience_of(cluster: ClusterSpec) -> Patience:
    """Patience as cluster.yaml gives it."""
    image_s = float(cluster.image_patience_s)
    return Patience(image_s=image_s, pull_s=max(PULL_PATIENCE_S, image_s), start_s=float(cluster.start_patience_s))


def _refused(name: str, error: ApiError) -> NoReturn:
    """A quota may have room later, a busy server may answer later; anything else stays refused."""
    if error.status == 403 and "because it is being terminated" in str(error):
        raise ReleaseGoneError(str(error)) from error
    quota = error.status == 403 and "exceeded quota" in str(error)
    webhook_away = "failed calling webhook" in str(error)
    if error.may_pass or quota or webhook_away:
        raise _trouble(error) from error
    raise RefusedJobError(f"the cluster refuses job {name}: {error}") from error


def _trouble(error: ApiError) -> BackendError:
    return BackendError(str(error), error.retry_after_s)
