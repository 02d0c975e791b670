"""How a pod ended: its agent's own last word, or what Kubernetes can say without one. Pure."""

import signal

from pydantic import ValidationError

from sftjobs.attempts import EXIT_CLASS, Termination
from sftjobs.kube.api import Object
from sftjobs.kube.objects import conditions, container_state
from sftjobs.names import Exit

KILLED = 128 + signal.SIGKILL
TERMINATED = 128 + signal.SIGTERM
_CRASHES = {128 + signal.SIGBUS: "SIGBUS: usually /dev/shm is too small", 128 + signal.SIGSEGV: "SIGSEGV"}


def pod_ending(pod: Object) -> Termination:
    """The last word about one pod that is over. The agent's message counts first, then exit code, then reason.

    On cgroup v1 a container from which the kernel killed one process ends with reason OOMKilled whatever its own exit
    code is, so the reason says nothing where the agent has spoken.
    """
    status = pod.get("status", {})
    state, details = container_state(pod)
    message = str(details.get("message") or "")
    spoken = _message(message)
    evicted = str(status.get("message") or "the node had to give back resources")
    is_evicted = status.get("reason") == "Evicted"
    if is_evicted and _used_too_much(evicted) and (spoken is None or spoken.failure == "stopped"):
        return _too_much(evicted, spoken)
    if spoken is not None:
        return spoken
    if is_evicted:
        return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=f"evicted: {evicted}")
    if "DisruptionTarget" in conditions(pod):
        why = conditions(pod)["DisruptionTarget"].get("message") or "the pod was disrupted"
        return Termination(failure="stopped", code=Exit.STOPPED, message=str(why))
    if state != "terminated":
        text = f"the pod is over without a word: {status.get('message') or status.get('reason') or 'no reason given'}"
        return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=text)
    return _from_exit_code(int(details.get("exitCode", 0)), str(details.get("reason") or ""), message)


def _message(text: str) -> Termination | None:
    try:
        return Termination.model_validate_json(text) if text else None
    except ValidationError:
        return None


def _used_too_much(message: str) -> bool:
    """True if the pod went over its own limit: another attempt would end the same way, whatever its agent says.

    A node that runs low also names who uses more than was requested; that is not the fault of one alone.
    """
    return "low on resource" not in message and ("exceeds" in message or "exceeded" in message)


def _too_much(message: str, spoken: Termination | None) -> Termination:
    field = "memory_gib" if '"shm"' in message else "disk_gib"  # /dev/shm is a part of the memory
    text = f"{message.rstrip('. ')}; raise {field} of this stage under resources"
    where = {} if spoken is None else {"step": spoken.step, "checkpoint": spoken.checkpoint}
    return Termination(failure="user", code=Exit.USER_ERROR, message=text, **where)


def _from_exit_code(code: int, reason: str, output: str) -> Termination:
    """The agent was killed before or while it had its last word."""
    last = output.strip().splitlines()[-1][:500] if output.strip() else ""
    if reason == "OOMKilled" and code == KILLED:
        text = "every process of the container was killed for memory; lower micro_batch_size or raise memory_gib"
        return Termination(failure="out_of_memory", code=code, message=text)
    if code == 0:
        return Termination(failure="committed", code=Exit.COMMITTED)
    if code == TERMINATED:
        return Termination(failure="stopped", code=Exit.STOPPED, message="told to stop before it could listen")
    if code == KILLED:
        text = "the agent was killed from outside (KILL), not for memory: a grace too short, or a lost node"
        return Termination(failure="infrastructure", code=Exit.INFRASTRUCTURE, message=text)
    if code in _CRASHES:
        return Termination(
            failure="user", code=code, message=f"the agent died of {_CRASHES[code]}; {last}".rstrip("; ")
        )
    if reason in ("StartError", "ContainerCannotRun"):
        text = f"the container could not be started: {last or reason}"
        return Termination(failure="config", code=Exit.BAD_CONFIG, message=text)
    text = f"the agent ended with exit code {code} and no message: {last or '(no output)'}"
    return Termination(failure=EXIT_CLASS.get(code, "user"), code=code, message=text)
