"""The part of run.yaml about data: what is read, how it is cleaned, held out, balanced and mixed."""

from typing import Annotated, Literal

from pydantic import Field

from sftjobs.model import Document
from sftjobs.spec.clean import CleanSpec
from sftjobs.spec.numbers import Fraction, Positive, Share
from sftjobs.spec.secret import FromEnv

SourceFormat = Literal["auto", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "folder"]
Shape = Literal["auto", "columns", "messages", "sharegpt", "alpaca", "prompt_completion"]
MixMode = Literal["epochs", "weighted", "temperature", "capped"]


class ColumnMap(Document):
    """Which column of a record holds what. A dotted path (`a.b.0`) reaches into nested columns."""

    output: str | None = None
    """Column with the expected answer; default `label` if the prompt's output format is label, else `output`."""
    id: str | None = None
    """Column with the user's own identifier, copied to the ledger; two records with one id are a mistake."""
    difficulty: str | None = None
    """Column with the difficulty (any text or whole number), for `data.select.per_difficulty` and the tables."""
    inputs: dict[str, str] = {}
    """Placeholder of the prompt file -> column; default the column of that name."""
    messages: str | None = None
    """Column with the conversation; default `messages`, or `conversations` in shape sharegpt."""


class SourceSpec(Document):
    """One source of records: a file, a folder, or a data set on the hub."""

    path: str
    """JSONL, JSON, CSV, TSV (each also .gz and .zst), Parquet or Arrow file, a folder of a Hugging Face data set,
    `s3://...`, or `hf://datasets/org/name@revision`."""
    format: SourceFormat = "auto"
    """`auto`: by the name's suffix. `folder`: a Hugging Face data set, as saved or as on the hub."""
    shape: Shape = "auto"
    """Form of a record. `columns`: those that the prompt file asks for; `auto`: by the first records."""
    encoding: Literal["utf-8", "gb18030", "utf-16"] = "utf-8"
    """Of a text file. It is never guessed: what is not UTF-8 is refused until it is named here."""
    split: str | None = None
    """Split of a Hugging Face data set; default `train`. With several subsets: `subset/train`."""
    columns: ColumnMap = ColumnMap()
    """Names of the columns, where they differ from the defaults."""


class TaskSpec(SourceSpec):
    """Training data of one sub-task."""

    epochs: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Passes over this task's examples; default `train.epochs`. 1.5 is one pass and a half that the seed chooses."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Share of an epoch with `data.mix.mode: weighted`, relative to the other tasks."""
    max_examples: Positive | Literal["all"] = 1000
    """Keep at most so many examples of this task, by the seed (a few hundred are often enough); `all`: no limit."""
    max_per_label: Positive | None = None
    """Keep at most so many examples of each label of this task, chosen by the seed."""
    held_out: str | None = None
    """Held-out examples of this task: a file of the same form, instead of `data.held_out`. All tasks have one, or
    none."""


class GeneralSpec(SourceSpec):
    """General-domain examples mixed in, so that the model keeps what it could do."""

    ratio: Annotated[float, Field(gt=0)] = 1.0
    """General : domain, in examples per epoch, after per-task epochs."""
    max_repeats: Positive = 1
    """A general example is used at most so many times per epoch; fewer are taken if there are not enough."""


class HeldOutSpec(SourceSpec):
    """Examples that are never trained on. Exactly one of `path` and `fraction`, unless each task names its own."""

    path: str | None = None  # type: ignore[assignment]
    """A source of its own, as in `data.tasks`."""
    fraction: Fraction | None = None
    """Share of the tasks' examples to set aside: whole groups of near-duplicates, by a hash of their first question."""
    max_examples: Positive | None = None
    """Evaluate on at most so many, chosen by the seed."""


class DuplicatesSpec(Document):
    """Examples that repeat each other (docs/rules/near-duplicate.md)."""

    exact: Literal["drop", "flag", "off"] = "drop"
    """Same task and same messages: the first is kept."""
    near: Literal["drop", "flag", "off"] = "drop"
    """Nearly the same question with the same answer: the first is kept. Held-out examples are only marked."""
    threshold: Annotated[float, Field(ge=0.5, le=1)] = 0.7
    """Jaccard similarity of shingles (words, or characters for Chinese) from which questions are near-duplicates."""
    conflicts: Literal["keep", "drop", "majority"] = "keep"
    """Same question, different answers: report and keep all, drop all, or keep the answer of more than half."""


class DecontaminateSpec(Document):
    """Nothing that a model is judged on is trained on (docs/rules/held-out.md)."""

    against: list[str] = []
    """Further files that training data must not overlap, e.g. public benchmarks: anything that `data.tasks` can read,
    or a `.txt` with one text per line."""
    action: Literal["drop", "stop"] = "drop"
    """What happens to a training example that overlaps; `stop` ends the run with a list."""
    words: Positive = 13
    """So many words in a row, shared with a held-out question, are an overlap (GPT-3, arXiv 2005.14165, appendix C)."""
    characters: Positive = 26
    """The same in characters, for text that is mostly Chinese."""
    waive: str | None = None
    """File with ids of training examples, one per line, that are kept although they overlap."""


class DenoiseSpec(Document):
    """Answers that do not fit their question, by co-occurrence (docs/rules/label-noise.md)."""

    labels: Literal["flag", "drop", "off"] = "flag"
    """Labels that the words of the question speak against."""
    answers: Literal["flag", "drop", "off"] = "off"
    """Free answers whose words do not go with those of the question."""
    share: Share = 0.02
    """At most so much of the examples, those that fit worst."""


class MixSpec(Document):
    """How often each task is seen in an epoch (docs/mixing.md)."""

    mode: MixMode = "epochs"
    """`epochs`: each task as often as its epochs say; `weighted`: by the tasks' weights; `temperature`: by
    size ^ (1/T); `capped`: by size, as if no task had more than `cap` examples."""
    temperature: Annotated[float, Field(ge=1)] = 2.0
    """T of mode `temperature`: 1 is by size, large values make tasks equal."""
    cap: Positive = 1000
    """Largest size that counts in mode `capped`."""
    examples_per_epoch: Positive | None = None
    """Examples of all tasks in one epoch, for every mode but `epochs`; default as many as there are."""


class SelectSpec(Document):
    """Choose fewer training examples than there are."""

    keep: Positive
    """How many training examples to keep in all."""
    by: Literal["random"] = "random"
    """How: `random` by the seed."""
    per_label: Literal["any", "balanced"] = "any"
    """`balanced` takes equally many of each label, as far as there are enough."""
    per_difficulty: Literal["any", "balanced"] = "any"
    """`balanced` takes equally many of each difficulty, as far as there are enough."""


class DataSpec(Document):
    """What is trained on and what is held out."""

    tasks: Annotated[dict[str, TaskSpec], Field(min_length=1)]
    """Training data by sub-task; the name becomes the example's `task`."""
    general: GeneralSpec | None = None
    """General-domain examples to mix in."""
    held_out: HeldOutSpec = HeldOutSpec()
    """What the models are compared on, unless each task names its own held-out examples."""
    dev_fraction: Fraction | None = None
    """Share of the tasks' examples for a dev set, apart from both others: for looking at while training."""
    on_bad_record: Literal["stop", "skip"] = "stop"
    """A record that cannot be read: stop with a list of all of them, or skip and count them."""
    max_bad_records: Annotated[int, Field(ge=0)] = 100
    """With `skip`: more than so many stop the run nevertheless."""
    max_dropped: Share = 0.5
    """Stop if rules drop more than this share of a task's training examples or of the held-out set; limits and
    `select` do not count."""
    clean: CleanSpec = CleanSpec()
    """Rules that look at one example."""
    duplicates: DuplicatesSpec = DuplicatesSpec()
    """Rules about examples that repeat each other."""
    decontaminate: DecontaminateSpec = DecontaminateSpec()
    """Rules about training examples that repeat what is held out."""
    denoise: DenoiseSpec = DenoiseSpec()
    """Rules about answers that do not fit their question."""
    corrections: str | None = None
    """A review sheet (CSV) as an earlier run left it, with a person's decisions: docs/review.md."""
    select: SelectSpec | None = None
    """Choose fewer training examples."""
    mix: MixSpec = MixSpec()
    """How often each task is seen in an epoch."""
    max_tokens: Positive = 2048
    """Most tokens of a rendered conversation."""
    overlength: Literal["drop", "stop", "truncate"] = "drop"
    """A conversation with more: drop and count it, stop, or drop its oldest turns until it fits. No turn is cut."""
    hub_token: FromEnv | None = None
    """Token for gated data sets on the hub; only the import stages read it."""
