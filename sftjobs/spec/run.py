"""run.yaml as types. Each field says its meaning, unit and special values; docs/run-yaml.md is made from here."""

from typing import Annotated, Literal

from pydantic import Field

from sftjobs.model import Document
from sftjobs.spec.data import DataSpec
from sftjobs.spec.eval import EvalSpec
from sftjobs.spec.numbers import Positive
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.secret import FromEnv
from sftjobs.spec.train import TrainSpec


class StoreSpec(Document):
    """Where artifacts, checkpoints and logs are kept."""

    uri: str
    """A folder, or `s3://bucket/prefix`."""
    endpoint: str | None = None
    """URL of an S3-compatible server; unset means AWS or `AWS_ENDPOINT_URL`."""
    region: str | None = None
    """S3 region; unset means the AWS default chain."""
    access_key: FromEnv | None = None
    """S3 access key id; unset means the AWS default chain (environment, profile, workload identity)."""
    secret_key: FromEnv | None = None
    """S3 secret access key; unset means the AWS default chain."""


class ModelSpec(Document):
    """The base model."""

    path: str
    """A folder in Hugging Face format, a GGUF file, `hf://org/name@revision` or `s3://...`."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Number format in which an imported model (GGUF, hub) is kept in the store."""
    token: FromEnv | None = None
    """Token for a gated model on the hub; only the import stage reads it."""


class StageResources(Document):
    """What one stage gets."""

    nodes: Positive = 1
    """Machines (pods)."""
    gpus_per_node: Annotated[int, Field(ge=0)] = 0
    """GPUs per node; 0 = CPU. Several of an evaluation share the layers of its model."""
    gpu_memory_gib: Annotated[float, Field(gt=0)] | None = None
    """Memory of one GPU, GiB, for what is decided by it (`train.activation_checkpointing`); unset: not known."""
    processes_per_node: Positive | None = None
    """Ranks per node; default one per GPU, or 1 without GPUs."""
    threads_per_process: Positive = 2
    """CPU threads per rank. Part of the stage key: it can change the last digits of results."""
    memory_gib: Positive = 8
    """Memory limit per node, GiB (Kubernetes only)."""
    disk_gib: Positive = 20
    """Scratch space per node, GiB (Kubernetes only)."""


class ResourcesSpec(Document):
    """Resources by kind of stage."""

    data: StageResources = StageResources()
    """Data stages (import, data)."""
    train: StageResources = StageResources()
    """Training."""
    eval: StageResources = StageResources()
    """Evaluation and comparison."""
    parallel_stages: Positive = 1
    """How many stages may run at the same time."""


class RetrySpec(Document):
    """How often a stage is tried again, by class of failure (docs/failures.md). Not part of the stage key."""

    infrastructure: Annotated[int, Field(ge=0)] = 10
    """Lost processes and nodes, network, store."""
    hang: Annotated[int, Field(ge=0)] = 3
    """No progress for `hang_after_s`."""
    out_of_memory: Annotated[int, Field(ge=0)] = 1
    """Killed by the kernel for memory."""
    user_error: Annotated[int, Field(ge=0)] = 0
    """Any other failure of a stage program."""
    backoff_s: Annotated[float, Field(ge=0)] = 5.0
    """Seconds before the second attempt; doubles for each further one, at most 300."""


class LimitsSpec(Document):
    """Times after which something is done. Not part of the stage key."""

    hang_after_s: Annotated[int, Field(ge=5)] = 900
    """Seconds without progress after which a stage is stopped with a stack dump and tried again."""
    stage_time_s: Annotated[int, Field(ge=60)] = 86_400
    """Wall-clock limit of one attempt, seconds."""
    grace_s: Annotated[int, Field(ge=1)] = 120
    """Seconds between the request to stop and the end by force: time to save and upload a checkpoint."""
    group_wait_s: Annotated[int, Field(ge=10)] = 900
    """Seconds for which the nodes of one attempt wait for each other before they begin: for machines and images."""


class RunSpec(Document):
    """One run: from data to a tuned model that is compared with its base."""

    name: str
    """Name of the run: lower-case letters, digits, `-`; at most 30 characters. The Helm release has the same name."""
    model: str | ModelSpec
    """The base model: a folder, a GGUF file, `hf://org/name@revision`, `s3://...`."""
    store: str | StoreSpec = ".sftjobs"
    """Where artifacts are kept; default a folder beside run.yaml."""
    prompt: str | PromptSpec
    """The prompt file, or its content."""
    data: DataSpec
    """What is trained on and what is held out."""
    train: TrainSpec = TrainSpec()
    """How the model is tuned."""
    eval: EvalSpec = EvalSpec()
    """How models are compared."""
    resources: ResourcesSpec = ResourcesSpec()
    """What the stages get."""
    retries: RetrySpec = RetrySpec()
    """How often a failed stage is tried again."""
    limits: LimitsSpec = LimitsSpec()
    """Times after which something is done."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    """Seed of everything random."""
