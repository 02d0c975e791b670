"""Every literal that two processes must agree on: environment variables, exit codes, store paths, object names.

A name that appears here appears nowhere else as a literal; `tests/unit/test_names.py` greps for it.
"""

import re
from enum import IntEnum

# --- environment of a stage program (the agent sets it; `sftjobs.program` reads it) ---------------------------------
ENV_PLAN = "SFTJOBS_PLAN"
"""Path of the stage plan (JSON)."""
ENV_INPUTS = "SFTJOBS_INPUTS"
"""Folder with one entry per input, named as in the stage plan."""
ENV_OUTPUT = "SFTJOBS_OUTPUT"
"""Folder for `content/`, `info/` and `counts.json`."""
ENV_CHECKPOINTS = "SFTJOBS_CHECKPOINTS"
"""Folder in which each rank renames `step-<N>/rank-<r>` into place; the agent uploads what is complete."""
ENV_RESUME = "SFTJOBS_RESUME"
"""Path of the checkpoint folder (`step-<N>`) to go on from; unset for a fresh start."""
ENV_PROGRESS = "SFTJOBS_PROGRESS"
"""Path of the JSONL file to which rank 0 appends progress lines."""
ENV_PHASE = "SFTJOBS_PHASE"
"""Path of the file in which a rank says where it is; unset where nobody compares the ranks."""

# --- environment of the agent (the Job dict sets it) ----------------------------------------------------------------
ENV_STORE = "SFTJOBS_STORE"
"""The store as JSON of `StoreSpec`: no secret, only names of environment variables."""
ENV_RUN_ID = "SFTJOBS_RUN_ID"
ENV_STAGE = "SFTJOBS_STAGE"
ENV_ATTEMPT = "SFTJOBS_ATTEMPT"
ENV_WORKDIR = "SFTJOBS_WORKDIR"
"""Scratch folder of this attempt."""
ENV_TERMINATION_LOG = "SFTJOBS_TERMINATION_LOG"
"""File for the one-line termination message; `/dev/termination-log` in a pod."""
ENV_LEADER = "SFTJOBS_LEADER"
"""host:port at which the agent of node 0 listens, where an attempt has several nodes."""
ENV_NODE_RANK = "JOB_COMPLETION_INDEX"
"""Set by Kubernetes on Indexed Jobs, and by the process backend."""
ENV_JOB_NAME = "SFTJOBS_JOB"
ENV_CACHE = "SFTJOBS_CACHE"
"""Folder for inputs that are shared by the pods of a node; unset for none."""
ENV_CACHE_GIB = "SFTJOBS_CACHE_GIB"
ENV_SECRETS = "SFTJOBS_SECRETS"
"""Names of further variables that hold secrets, joined by commas: what cluster.yaml gives a program, no plan knows."""
ENV_BUILD_INFO = "SFTJOBS_BUILD_INFO"
"""Set in images: JSON with version, revision and the versions of the libraries of the stage images."""

# --- environment of the controller in a cluster (the chart sets it) --------------------------------------------------
ENV_RELEASE = "SFTJOBS_RELEASE"
"""Name of the release: the run has the same name."""
ENV_NAMESPACE = "SFTJOBS_NAMESPACE"
ENV_AGAIN = "SFTJOBS_AGAIN"
"""Number of the request within one release (`controller.again`)."""
ENV_CRASH_AT = "SFTJOBS_CRASH_AT"
"""For tests only: the side effect after which the process ends itself with KILL."""


class Exit(IntEnum):
    """Exit codes of agent, stage programs and controller."""

    COMMITTED = 0
    RUN_FAILED = 3
    BAD_CONFIG = 10
    BAD_CHECKPOINT = 11
    STOPPED = 20
    INFRASTRUCTURE = 21
    HANG = 22
    BUSY = 23
    USER_ERROR = 1


# --- labels and object names ----------------------------------------------------------------------------------------
LABEL_RUN = "sftjobs.dev/run"
LABEL_STAGE = "sftjobs.dev/stage"
LABEL_ATTEMPT = "sftjobs.dev/attempt"
LABEL_ROLE = "sftjobs.dev/role"
"""On what the chart makes for one role: controller, preflight, data, train, eval."""
ANNOTATION_STAGE_KEY = "sftjobs.dev/stage-key"
ANNOTATION_RUN_ID = "sftjobs.dev/run-id"
MANAGED_BY = "sftjobs"
ANNOTATION_SPEC_HASH = "sftjobs.dev/spec-hash"
"""On a Job: SHA-256 of what was asked for, so that an existing one can be told from another with its name."""
ANNOTATION_RUN_HASH = "sftjobs.dev/run-hash"
"""On the anchor: SHA-256 of run.yaml. A release is one run; `helm upgrade` may change only the cluster's part."""
LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
LABEL_QUEUE_PRIORITY = "kueue.x-k8s.io/priority-class"
AGENT_PORT = 29400
"""Where the agent of node 0 listens in its pod; ranks meet at a port that it finds free."""
TERMINATION_LOG = "/dev/termination-log"
SCRATCH_MOUNT = "/scratch"
CACHE_MOUNT = "/cache"
CA_MOUNT = "/etc/sftjobs/ca"
CLUSTER_KEY = "cluster.json"
"""Key of the run ConfigMap: the values of the release without the run."""


def anchor_name(release: str) -> str:
    """ConfigMap that owns every Job of the run: it goes with the release, and they go with it."""
    return f"{release}-anchor"


def run_config_name(release: str) -> str:
    """ConfigMap with run.yaml and cluster.json."""
    return f"{release}-run"


def service_name(release: str) -> str:
    """Headless Service that gives the pods of a group their host names."""
    return release


def service_account_name(release: str, role: str) -> str:
    """ServiceAccount that the chart makes for a role: controller, data, train, eval."""
    return f"{release}-{role}"


MAX_RUN_NAME = 30
MAX_JOB_NAME = 45
RUN_NAME_RULE = "1 to 30 characters: lower-case letters, digits and '-', starting with a letter, not ending with '-'"
_RUN_NAME = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")


def is_run_name(text: str) -> bool:
    """True if `text` can name a run: it becomes part of Kubernetes object names."""
    return _RUN_NAME.fullmatch(text) is not None


def job_name(run: str, stage: str, attempt: int) -> str:
    """`<run>-<stage>-a<n>`, deterministic, at most 45 characters; a few more after 99 attempts.

    Raises ValueError if it would be longer: the planner checks names before anything runs. It cannot know how often a
    stage is preempted, and the limit leaves room (63 for the host name of a pod) so that such a run need not end.
    """
    name = f"{run}-{stage}-a{attempt}"
    if len(name) > MAX_JOB_NAME + max(0, len(str(attempt)) - 2):
        raise ValueError(f"job name {name!r} has {len(name)} characters, at most {MAX_JOB_NAME} are allowed")
    return name


# --- layout of the store (docs/store.md) ----------------------------------------------------------------------------
STAGES = "stages/"
RUNS = "runs/"
INPUTS = "inputs/sha256/"
COMMIT = "COMMIT"
LEASE = "LEASE"
CLAIM = "CLAIM"
MANIFEST = "MANIFEST.json"
KEY_JSON = "key.json"
CONTENT = "content"
INFO = "info"
CHECKPOINT = "ckpt"
COUNTS_JSON = "counts.json"
REPORT_SECTIONS = "report"
"""Folder under `info/` with one JSON file per report section."""


def stage_prefix(kind: str, key: str) -> str:
    return f"{STAGES}{kind}/{key}/"


def incarnations_prefix(kind: str, key: str) -> str:
    """One folder per incarnation, named by its number."""
    return f"{stage_prefix(kind, key)}inc/"


def incarnation_prefix(kind: str, key: str, incarnation: int) -> str:
    return f"{incarnations_prefix(kind, key)}{incarnation}/"


def checkpoint_commit(kind: str, key: str, step: int, incarnation: int) -> str:
    """Zero-padded, so that a listing is in order of steps."""
    return f"{stage_prefix(kind, key)}{CHECKPOINT}/step-{step:08d}.inc-{incarnation}.COMMIT"


def checkpoint_prefix(kind: str, key: str, incarnation: int, step: int) -> str:
    return f"{incarnation_prefix(kind, key, incarnation)}{CHECKPOINT}/step-{step:08d}/"


def step_folder(step: int) -> str:
    """Folder of one checkpoint below ENV_CHECKPOINTS; each rank renames `rank-<r>` into it."""
    return f"step-{step:08d}"


HOLD = ".hold"
"""File below ENV_CHECKPOINTS: two checkpoints wait for their upload, so the clock is no reason to save another one."""


def rank_folder(rank: int) -> str:
    return f"rank-{rank:05d}"


def node_part(node: int) -> str:
    """Below a checkpoint's prefix: what one node has uploaded of it."""
    return f"node-{node:05d}.json"


def run_prefix(run_id: str) -> str:
    return f"{RUNS}{run_id}/"


def intent(run_id: str, stage: str, attempt: int) -> str:
    return f"{run_prefix(run_id)}attempts/{stage}/{attempt}.intent.json"


def result(run_id: str, stage: str, attempt: int) -> str:
    return f"{run_prefix(run_id)}attempts/{stage}/{attempt}.result.json"


def endings_prefix(run_id: str, stage: str, attempt: int) -> str:
    """Last words of the agents of an attempt, for a controller that finds their pods gone."""
    return f"{run_prefix(run_id)}endings/{stage}/{attempt}/"


def ending(run_id: str, stage: str, attempt: int, node: int, moment_ns: int) -> str:
    """One last word; an attempt that was preempted and resumed has several per node."""
    return f"{endings_prefix(run_id, stage, attempt)}{node}-{moment_ns:020d}.json"


def heartbeat(run_id: str, stage: str, attempt: int, node: int) -> str:
    return f"{run_prefix(run_id)}heartbeats/{stage}/{attempt}/{node}.json"


def log_prefix(run_id: str, stage: str, attempt: int, node: int) -> str:
    return f"{run_prefix(run_id)}logs/{stage}/{attempt}/{node}/"


def input_digest(stamp: str) -> str:
    """SHA-256 of an object outside the store, by the SHA-256 of its place, size and ETag."""
    return f"inputs/digests/{stamp}"


def pushed_input(sha256: str) -> str:
    return f"{INPUTS}{sha256}"


# --- records of a run (sftjobs.runs) --------------------------------------------------------------------------------
RUN_YAML = "run.yaml"
PLAN_JSON = "plan.json"
OWNER = "OWNER"
BEGIN = "BEGIN"
VERDICT = "VERDICT"
CANCEL = "CANCEL"
ANNOUNCED = "ANNOUNCED"
"""Mark of a session: whoever cluster.yaml names has been told that it has ended."""
EVENT_WAITING = "attempt-waiting"
"""Kind of the events that say why an attempt has not started."""


def run_lease(run_id: str) -> str:
    """Held by the one controller of a run."""
    return f"{run_prefix(run_id)}{LEASE}"


def attempts_prefix(run_id: str) -> str:
    return f"{run_prefix(run_id)}attempts/"


def events_prefix(run_id: str) -> str:
    return f"{run_prefix(run_id)}events/"


def sessions_prefix(run_id: str) -> str:
    return f"{run_prefix(run_id)}sessions/"


def session_file(run_id: str, session: int, name: str) -> str:
    """BEGIN, CANCEL or VERDICT of one session: from the user's request to its verdict."""
    return f"{sessions_prefix(run_id)}{session:04d}/{name}"


# --- parts of a store that are not artifacts (docs/store.md) --------------------------------------------------------
STORE_LOCAL = "local"
"""Top-level folder of a folder store that is no part of the store: scratch of processes on this machine."""
PROBE = "probe/"
"""Objects that the probe writes, reads and removes again."""


def report_file(run_id: str, form: str) -> str:
    """`report.json` or `report.html` of a run."""
    return f"{run_prefix(run_id)}report.{form}"
