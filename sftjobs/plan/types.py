"""The documents of planning: facts in, a graph of stages out, and one finished plan per stage."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sftjobs.model import Document

SCHEMA = 1
"""Schema number of plans, keys and manifests. A newer version reads all older ones."""

Kind = Literal["data", "train", "eval"]
KINDS: tuple[Kind, ...] = ("data", "train", "eval")


class FileEntry(Document):
    """One file of an artifact or of an external input."""

    path: str
    """Relative, with `/`."""
    size: int
    """Bytes."""
    sha256: str


class External(Document):
    """An input that no stage makes: a file or a folder, known by its digest."""

    source: str
    """Where it was found: an absolute path or an `s3://` URI. Not part of any key."""
    digest: str
    """Artifact digest over `files`."""
    files: list[FileEntry]
    """Sorted by path; a single file has one entry with its base name."""


class ArtifactRef(Document):
    """A committed artifact as input of a stage."""

    kind: Kind
    key: str
    incarnation: int
    digest: str
    """Artifact digest."""
    manifest_sha256: str


class PreviousRun(Document):
    """The run named by `eval.compare_to`."""

    run_id: str
    model: ArtifactRef
    """Artifact of its train stage."""
    data: ArtifactRef | None = None
    """Artifact of its data stage: what it was trained on."""
    adapter: bool = False
    """Whether it left an adapter alone, which is used with the base model: the same as this run's."""


class Facts(Document):
    """What planning needs to know about the world; the same facts give the same plan, byte for byte."""

    externals: dict[str, External]
    """By input name (`sftjobs.spec.input_places`): `model`, `task.<name>`, `general`, `held_out`, `against.<n>`, ..."""
    versions: dict[str, str]
    """Versions of the libraries that change results, as installed where stages will run."""
    source_digest: str | None = None
    """Digest of the source tree if it differs from what was released; None for an installed release."""
    hub_commit: str | None = None
    """The commit that the model's hub revision means; None for other models."""
    data_commits: dict[str, str] = {}
    """Input name -> the commit that its revision means, for data sets on a hub."""
    previous: PreviousRun | None = None
    """The run that `eval.compare_to` names."""


class StageInput(Document):
    """An input of a planned stage: the output of another stage, or an external input."""

    stage: str | None = None
    """Name of the stage in this plan that makes it."""
    external: str | None = None
    """Name in `Facts.externals`."""
    artifact: ArtifactRef | None = None
    """An artifact of another run (`compare_to`)."""
    folder: str = ""
    """Sub-folder of the artifact that is the input, e.g. `model`."""
    include: list[str] = []
    """Glob patterns of the files that are needed; empty means all. Digest and key cover the whole artifact."""


class Resources(Document):
    """What one attempt gets: `StageResources` of the spec with every default decided."""

    nodes: int = 1
    gpus_per_node: int = 0
    gpu_memory_gib: float | None = None
    """None: not known."""
    processes_per_node: int = 1
    threads_per_process: int = 2
    memory_gib: int = 8
    disk_gib: int = 20

    @property
    def world_size(self) -> int:
        return self.nodes * self.processes_per_node

    def ranks_of(self, node: int) -> range:
        """The global ranks of a node."""
        return range(node * self.processes_per_node, (node + 1) * self.processes_per_node)

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """What programs compute on."""
        return "cuda" if self.gpus_per_node else "cpu"


class Operation(Document):
    """How a stage is run. Never part of its key: none of it changes the result."""

    checkpoint_every_s: int = 120
    """0: after every step."""
    keep_last: int = 2
    """So many of the newest checkpoints stay."""
    keep_every: int | None = None
    """The first checkpoint at or after each multiple of so many steps stays, too."""
    hang_after_s: int = 900
    stage_time_s: int = 86_400
    grace_s: int = 120
    group_wait_s: int = 900
    """How long the nodes of an attempt wait for each other before they begin."""
    batch_size: int = 16
    """Examples per generation batch (eval)."""
    report_to: list[str] = []
    """Trackers that training sends its metrics to as well."""
    secrets: dict[str, str] = {}
    """Name of a secret the program needs -> environment variable that holds it, e.g. `hub_token`."""


class StageNode(Document):
    """One stage of the plan, before its inputs exist."""

    name: str
    """DNS label, e.g. `eval-tuned`."""
    kind: Kind
    program: str
    """Python module that the agent starts, e.g. `jobs.train`."""
    config: dict[str, Any]
    """The stage's own config as far as the spec gives it; `finish` decides the rest."""
    inputs: dict[str, StageInput]
    resources: Resources = Resources()
    operation: Operation = Operation()


class RunPlan(Document):
    """A run as a graph of stages. Pure function of spec and facts."""

    schema_number: int = SCHEMA
    name: str
    stages: list[StageNode]
    """In an order in which each stage comes after the stages it needs."""
    facts: Facts
    parallel_stages: int = 1
    retries: dict[str, int | float]
    """`RetrySpec` of the spec."""

    def stage(self, name: str) -> StageNode:
        """The stage called `name`; raises KeyError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


class FinishedInput(Document):
    """An input whose digest is known. Exactly one of `artifact` and `external`."""

    artifact: ArtifactRef | None = None
    external: External | None = None
    folder: str = ""
    include: list[str] = []
    stage: str | None = None
    """The stage of this run that made it; for messages only."""

    @property
    def digest(self) -> str:
        """Digest of the whole artifact or external input."""
        if self.artifact is not None:
            return self.artifact.digest
        assert self.external is not None
        return self.external.digest


class StagePlan(Document):
    """Everything one stage needs, decided. The program reads it and recomputes nothing."""

    schema_number: int = SCHEMA
    run: str
    """Name of the run."""
    stage: str
    kind: Kind
    program: str
    key: str
    """Stage key: hex SHA-256 over `key_json`."""
    key_json: dict[str, Any]
    """What the key was computed from; written to the store for `explain`."""
    config: dict[str, Any]
    """The finished config (`sftjobs.plan.configs`)."""
    inputs: dict[str, FinishedInput]
    resources: Resources
    operation: Operation
    reasons: dict[str, str] = {}
    """Why each `auto` value was decided as it was."""
    summary: str = ""
    """The printed arithmetic, one line."""


class Manifest(Document):
    """What a stage left: written once, before COMMIT names it by its SHA-256."""

    schema_number: int = SCHEMA
    kind: Kind
    key: str
    incarnation: int
    digest: str
    """Artifact digest: SHA-256 over the sorted (path, size, sha256) of `content`."""
    content: list[FileEntry]
    info: list[FileEntry]
    """Files under `info/`: listed, not digested."""
    inputs: dict[str, str]
    """Input name -> digest."""
    versions: dict[str, str]
    counts: dict[str, Any]
    """What the program counted, e.g. `train_examples`; planning of later stages reads it."""
    facts: dict[str, Any] = {}
    """Run facts that may differ between equal runs: seconds, host, run id, attempt."""


class Commit(Document):
    """Content of COMMIT: names the winning incarnation and its manifest."""

    schema_number: int = SCHEMA
    incarnation: int
    manifest_sha256: str
    nonce: Annotated[str, Field(min_length=8)]
