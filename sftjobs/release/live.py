"""What the cluster itself says about a run: for people who look at a run while it waits."""

from sftjobs import names
from sftjobs.backend.base import BackendError, JobStatus
from sftjobs.backend.kubernetes import KubernetesBackend
from sftjobs.controller.status import RunState, StageState
from sftjobs.errors import SftError
from sftjobs.kube.api import Api, ApiError, Object
from sftjobs.kube.endings import pod_ending
from sftjobs.kube.objects import container_state, is_over, name_of
from sftjobs.kube.reasons import why_pending


class LiveView:
    """One release; keep it for the life of a process: it watches the Jobs."""

    def __init__(self, api: Api, release: str) -> None:
        self._api = api
        self._release = release
        self._backend = KubernetesBackend(api, release)

    def overlay(self, state: RunState) -> RunState:
        """The state with what its Jobs and pods say at this moment. Raises SftError."""
        try:
            jobs = {(job.stage, job.attempt): job for job in self._backend.list(state.run_id)}
        except BackendError as error:
            raise SftError(f"namespace {self._api.namespace}: {error}") from error
        stages = [_overlaid(stage, jobs.get((stage.name, stage.attempts - 1))) for stage in state.stages]
        return state.model_copy(update={"stages": stages})

    def controller(self) -> str:
        """Where the pod of the controller is, in words. Raises SftError."""
        selector = f"{names.LABEL_RUN}={self._release},{names.LABEL_ROLE}=controller"
        try:
            pods = self._api.list("pods", selector).items
            if not pods:
                return f"no pod in namespace {self._api.namespace}"
            newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
            return f"pod {name_of(newest)} {self._words(newest)}"
        except ApiError as error:
            raise SftError(f"namespace {self._api.namespace}: {error}") from error

    def _words(self, pod: Object) -> str:
        if is_over(pod):
            return f"has ended: {pod_ending(pod).message or 'without a word'}"
        if container_state(pod)[0] == "running":
            return "is at work"
        events = self._api.list("events", fields=f"involvedObject.name={name_of(pod)}").items
        return f"has not started: {why_pending({'spec': {}}, [pod], events, None).text}"


def _overlaid(stage: StageState, job: JobStatus | None) -> StageState:
    """Only an attempt that goes on can be known better by the cluster than by the store."""
    if stage.state not in ("running", "waiting", "stalled") or job is None:
        return stage
    if job.phase == "pending":
        return stage.model_copy(update={"state": "waiting", "message": job.detail or "starting"})
    if job.phase == "ended":
        said = job.termination.message if job.termination is not None else ""
        text = f"its job has ended ({said or 'no message'}), which the controller has not recorded yet"
        return stage if stage.state == "waiting" else stage.model_copy(update={"message": text})
    if job.detail:
        return stage.model_copy(update={"state": "running", "message": job.detail, "heartbeat": None})
    if stage.heartbeat is None:
        text = "its pods run, and have not reported yet"
        return stage.model_copy(update={"state": "running", "message": text})
    return stage
