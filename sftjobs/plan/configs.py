"""The finished config of each stage program, and what it leaves: the contract between planning and `jobs/`.

    program                   inputs                             content/
    jobs.data.importer        source                             config.json, *.safetensors, tokenizer, chat template
    jobs.data.import_dataset  -                                  the data files of a hub repository
    jobs.data                 model, task.<t>, general?,         train.jsonl, held_out.jsonl, dev.jsonl?,
                              held_out?, against.<n>?, waive?,   ledger.parquet, review.csv, prompt.json,
                              corrections?, flagged_words?       croissant.json
    jobs.train                model, data, metric.<n>?           model/ (Hugging Face folder; not of prompt learning),
                                                                 adapter/ (not of method full)
    jobs.eval                 model, adapter?, data,             predictions.jsonl, scores.json
                              metric.<n>?, trained_on?
    jobs.eval.baselines       model, data, metric.<n>?           <baseline>/predictions.jsonl, <baseline>/scores.json
    jobs.eval.compare         base, tuned, tuned-<n>?, data,     comparison.json, bad_cases.jsonl
                              baselines?, previous?, plan.<p>?,
                              plan.separate.<t>?

Everything here enters the stage key. Files under info/ (`report/<section>.json`, metrics.jsonl) do not.
"""

from typing import Any, Literal

from pydantic import Field

from sftjobs.model import Document, empty
from sftjobs.spec.clean import CleanSpec
from sftjobs.spec.data import ColumnMap, DecontaminateSpec, DenoiseSpec, DuplicatesSpec, MixSpec, Shape, SourceFormat
from sftjobs.spec.eval import Baseline, ServerSpec
from sftjobs.spec.multi_task import TaskPlanName
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.train import AttentionName, MethodName

PROGRAM_VERSIONS: dict[str, int] = {"data": 2, "train": 4, "eval": 3}
"""Raised when the same inputs and config would give another result (tests/unit/test_program_versions.py asks)."""

LIBRARIES: dict[str, tuple[str, ...]] = {
    "data": (
        "torch",
        "transformers",
        "tokenizers",
        "safetensors",
        "gguf",
        "pyarrow",
        "ftfy",
        "rensa",
        "fasttext-predict",
    ),
    "train": ("torch", "transformers", "accelerate", "peft", "tokenizers", "safetensors"),
    "eval": ("torch", "transformers", "tokenizers", "scipy", "scikit-learn", "sacrebleu", "rouge-score"),
}
"""Libraries whose version enters the key of a kind of stage. DeepSpeed's is exact in pyproject.toml; its parts are not
in every environment that plans. A newer one raises PROGRAM_VERSIONS["train"] if results differ."""


class ImportConfig(Document):
    """Bring a model into the store, as safetensors."""

    format: Literal["gguf", "hub", "folder"]
    dtype: str
    repository: str | None = None
    """For `hub`: org/name."""
    revision: str | None = None
    """For `hub`: a commit, resolved at planning time."""


class DatasetImportConfig(Document):
    """Bring a data set of a hub into the store, as it is."""

    repository: str
    """org/name."""
    revision: str
    """A commit, resolved at planning time."""
    split: str | None = None


class SourceConfig(Document):
    """One source of records of the data stage."""

    input: str
    """Name of the input, e.g. `task.intent`."""
    format: SourceFormat
    shape: Shape = "auto"
    encoding: str = "utf-8"
    split: str | None = None
    output_column: str
    columns: ColumnMap = ColumnMap()
    max_examples: int | None = None
    max_per_label: int | None = None


class SelectConfig(Document):
    keep: int
    by: Literal["random"]
    per_label: Literal["any", "balanced"]
    per_difficulty: Literal["any", "balanced"] = "any"


class DataConfig(Document):
    """Read, clean, find duplicates, split, exclude held-out, count tokens, limit, select, mix."""

    prompt: PromptSpec
    label_order: list[str] = []
    """The labels in the order of the prompt file, which is the order that a model reads: in a stored document keys are
    sorted. Empty: no labels, or a plan of before this field."""
    tasks: dict[str, SourceConfig]
    general: SourceConfig | None = None
    held_out: SourceConfig | None = None
    """Held-out source; None if `held_out_fraction` or `held_out_tasks` is set."""
    held_out_tasks: dict[str, SourceConfig] = Field(default={}, exclude_if=empty)
    """Task -> its own held-out source."""
    held_out_fraction: float | None = None
    held_out_max: int | None = None
    dev_fraction: float | None = None
    on_bad_record: Literal["stop", "skip"] = "stop"
    max_bad_records: int = 100
    max_dropped: float = 0.5
    clean: CleanSpec = CleanSpec()
    duplicates: DuplicatesSpec = DuplicatesSpec()
    decontaminate: DecontaminateSpec = DecontaminateSpec()
    """`against` holds input names here."""
    denoise: DenoiseSpec = DenoiseSpec()
    corrections: bool = False
    """Whether there is an input `corrections`."""
    select: SelectConfig | None = None
    max_tokens: int
    overlength: Literal["drop", "stop", "truncate"] = "drop"
    seed: int

    @property
    def sources(self) -> list[SourceConfig]:
        """All sources of records."""
        found = [*self.tasks.values(), self.general, self.held_out, *self.held_out_tasks.values()]
        return [source for source in found if source is not None]

    @property
    def ordered_prompt(self) -> PromptSpec:
        """`prompt` with its labels in the order of the prompt file."""
        labels = {label: self.prompt.labels[label] for label in self.label_order} or self.prompt.labels
        return self.prompt.model_copy(update={"labels": labels})


class MixtureConfig(Document):
    """How often each task is seen; see docs/mixing.md."""

    epochs: dict[str, float]
    """Task -> passes. An epoch e (from 0) holds every task with more than e passes; of a last part of a pass, so many
    examples, at least one. A task that is not named is not drawn; `general` can be named like a task, in place of
    `general_ratio`."""
    mix: MixSpec = MixSpec()
    weights: dict[str, float] = {}
    """Task -> weight, for mode `weighted`."""
    general_ratio: float | None = None
    general_max_repeats: int = 1
    """See GeneralSpec.max_repeats."""
    shares: dict[str, float] = Field(default={}, exclude_if=empty)
    """Task -> part of its examples that makes a pass, drawn anew for each; only with mode `epochs`."""
    extra: dict[str, float] = Field(default={}, exclude_if=empty)
    """Task -> passes over it after all epochs, in epochs that hold no other task."""


class TaskCounts(Document):
    """Of the training examples of one task (`general` is a task of that name)."""

    examples: int
    tokens: int
    """Tokens of the rendered conversations."""
    supervised_tokens: int
    """Tokens with loss."""


class DataCounts(Document):
    """`counts` of the data stage's manifest."""

    records: int
    """Records read, over all files."""
    tasks: dict[str, TaskCounts]
    held_out: int
    """Held-out examples."""
    dev: int = 0
    """Examples of the dev set."""
    dropped: dict[str, int]
    """Rule -> records."""
    flagged: dict[str, int] = {}
    """Rule -> kept examples that it marked."""
    bad_records: int = 0
    """Records that could not be read and were skipped."""
    labels: dict[str, int]
    """Label -> training examples; empty where the output is not a label."""
    max_example_tokens: int
    """Longest training example."""
    common_prefix_tokens: int
    """Tokens that all training examples share at their start."""
    longest_answer_tokens: int
    """Longest expected answer of the held-out set (or longest label), tokens."""
    output_format: str
    model: dict[str, Any] | None = None
    """Sizes of the base model (`sftjobs.advice.shape.ModelShape`), for estimates; None: not known."""


Device = Literal["cpu", "cuda"]
"""`cuda` if the stage has GPUs. Never what the machine happens to have: results would depend on it."""


class LoraConfig(Document):
    rank: int
    alpha: int
    dropout: float
    target: Literal["all-linear", "attention"]
    learning_rate_ratio: float | None = None
    """Learning rate of matrix B over that of A; only with method lora_plus."""
    cycles: int | None = None
    """Parts of the training, each with an adapter of its own; only with method periodic_lora."""


class PromptLearningConfig(Document):
    virtual_tokens: int
    encoder: Literal["mlp", "lstm"] | None
    encoder_size: int | None
    """Hidden units; None: the hidden size of the model, of an LSTM half of it."""


class ZeroConfig(Document):
    """DeepSpeed's ZeRO."""

    stage: Literal[1, 2, 3]
    offload: Literal["none", "optimizer", "parameters"] = "none"
    overrides: dict[str, Any] = {}


class MetricConfig(Document):
    """One metric of an evaluation."""

    name: str
    """Name in tables; of a metric that is built in, the metric itself."""
    input: str | None = None
    """Input with the file of a user's metric; None for one that is built in."""
    function: str | None = None


class DecodingConfig(Document):
    """How an answer is made from a prompt."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int
    server: ServerSpec | None = None
    """None: transformers."""


class DevConfig(Document):
    """Looks at the dev set while training."""

    every_steps: int
    metric: MetricConfig | None = None
    """What says which step is best, on generated answers; None: the loss of the answers."""
    max_new_tokens: int
    patience: int | None
    max_examples: int


class TrainConfig(Document):
    """One training. Steps, batch and learning rate are decided."""

    method: MethodName
    lora: LoraConfig | None
    """The adapter of a method of the LoRA family; None: another method."""
    prompt_learning: PromptLearningConfig | None = None
    """The virtual tokens of a method of prompt learning; None: another method."""
    learning_rate: float
    mixture: MixtureConfig
    micro_batch_size: int
    gradient_accumulation_steps: int
    world_size: int
    steps: int
    """Optimizer steps in all."""
    warmup_steps: int
    schedule: Literal["cosine", "linear", "constant"]
    weight_decay: float
    max_grad_norm: float
    precision: Literal["float32", "bfloat16"]
    zero: ZeroConfig | None = None
    """How ranks share weights, gradients and optimizer; None: each has all of them (DDP)."""
    device: Device = "cpu"
    threads_per_process: int
    max_tokens: int
    group_by_length: bool = False
    packing: bool | Literal["if_possible"] = False
    """`if_possible`: where the architecture allows it, which the program knows."""
    attention: AttentionName | None = Field(default=None, exclude_if=empty)
    """None: `sdpa` where the architecture has it, on a CPU in bfloat16 plain products where these are faster."""
    activation_checkpointing: bool = Field(default=False, exclude_if=empty)
    compile: bool = Field(default=False, exclude_if=empty)
    liger: bool = Field(default=False, exclude_if=empty)
    optimizer: Literal["paged_adamw"] | None = Field(default=None, exclude_if=empty)
    """None: AdamW with its state where the weights are."""
    dev: DevConfig | None = None
    """None: there is no dev set."""
    keep: Literal["best", "last"] = "last"
    seed: int

    @property
    def global_batch(self) -> int:
        """Examples of an optimizer step, on all ranks."""
        return self.micro_batch_size * self.gradient_accumulation_steps * self.world_size


class EvalConfig(Document):
    """Answers of one model to the held-out set, with scores."""

    metrics: list[MetricConfig]
    decoding: DecodingConfig
    device: Device = "cpu"
    """On `cuda` weights are bfloat16, on `cpu` float32: answers of one are never compared with answers of the other."""
    spread_over: int = Field(default=0, exclude_if=empty)
    """GPUs that share the layers of the model; 0: one device has all."""
    threads_per_process: int
    seed: int


class BaselinesConfig(EvalConfig):
    """What else the tuned model has to beat, on the same held-out examples."""

    baselines: list[Baseline]
    shots: int


PLAN_ROLE = "plan."
"""Begins the names of the comparison's inputs that are models of further plans (`CompareConfig.plans`)."""
SEPARATE_ROLE = f"{PLAN_ROLE}separate."
"""The name of a task follows: plan `separate` makes a model for each."""


class CompareConfig(Document):
    """Paired comparison of evaluations on the same examples."""

    metric: str
    """The metric that decides the verdict."""
    confidence: float
    bootstrap_draws: int
    seed: int
    plans: list[TaskPlanName] = Field(default=[], exclude_if=empty)
    """Ways of training that are compared task by task; the first one made `tuned`. Empty: there is one way."""


Progress = dict[str, Any]
"""One line of the progress file: t (unix seconds), phase, step, total, unit; loss, tokens_per_s, message if known."""
