"""Rules between the fields of run.yaml: each a small function that yields problems. All run."""

import re
from collections.abc import Iterator

from sftjobs import names
from sftjobs.errors import Problem
from sftjobs.spec import eval_rules, file_rules, gpu_rules, method_rules, multi_task_rules, prompt_rules, zero_rules
from sftjobs.spec.input_places import places, value_at
from sftjobs.spec.multi_task import SHORT
from sftjobs.spec.places import hub_data
from sftjobs.spec.run import RunSpec, StageResources
from sftjobs.spec.secret import FromEnv
from sftjobs.spec.source import Written

STAGES = ("import", "data", "train", "eval-base", "eval-tuned", "baselines", "compare")
STAGE_OF_PREVIOUS = "eval-previous"
"""Only there with `eval.compare_to`."""
RESERVED_TASK = "general"
TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_HUB_MODEL = re.compile(r"hf://[\w.-]+/[\w.-]+(@[\w./-]+)?")
_LOOKS_LIKE_A_SECRET = re.compile(r"(AKIA|ASIA)[0-9A-Z]{16}|hf_[A-Za-z0-9]{20,}")
Problems = Iterator[Problem]


def problems(written: Written, check_files: bool = True) -> Problems:
    """Everything that the rules find."""
    for rule in (
        run_name, job_names, secrets, store, model, task_names, held_out, selection, label_limits, batch, processes,
        one_rank, dev,
    ):  # fmt: skip
        yield from rule(written)
    if written.prompt_source is not None:
        yield from prompt_rules.problems(written.prompt, written.prompt_source)
    yield from method_rules.problems(written)
    yield from multi_task_rules.problems(written)
    yield from eval_rules.problems(written)
    yield from zero_rules.problems(written)
    yield from gpu_rules.problems(written)
    yield from file_rules.problems(written, check_files)


def run_name(written: Written) -> Problems:
    """The name becomes part of Kubernetes object names."""
    name = written.spec.name
    if not names.is_run_name(name):
        kept = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[: names.MAX_RUN_NAME]
        kept = kept.lstrip("-0123456789").rstrip("-")
        hint = f"; for example {kept}" if names.is_run_name(kept) else ""
        yield written.run.problem(("name",), f"'{name[:60]}' cannot name a run: {names.RUN_NAME_RULE}{hint}")


def job_names(written: Written) -> Problems:
    """The name of every attempt's Job has a limit."""
    spec = written.spec
    if not names.is_run_name(spec.name):
        return
    retries = spec.retries
    attempts = max(99, retries.infrastructure + retries.hang + retries.out_of_memory + retries.user_error)
    stages = [*STAGES, STAGE_OF_PREVIOUS] if spec.eval.compare_to else list(STAGES)
    if spec.train.seeds > 1:
        stages.append(f"eval-tuned-{spec.train.seeds}")
    first, *further = spec.train.multi_task.plans
    parts = {"separate": len(spec.data.tasks), "dual_stage": 2}
    stages += [f"train-{SHORT[plan]}-{parts.get(plan, '')}".rstrip("-") for plan in further]
    stages += ["train-dual-1"] if first == "dual_stage" else []
    stages += [f"import-data{i + 1}" for i, one in enumerate(_sources(spec)) if hub_data(one)]
    stage = max(stages, key=len)
    room = names.MAX_JOB_NAME - len(f"-{stage}-a{attempts}")
    if len(spec.name) > room:
        why = f"the Job {spec.name}-{stage}-a{attempts} would have more than {names.MAX_JOB_NAME} characters"
        message = f"{len(spec.name)} characters are too many for this run: {why}; use at most {room}"
        yield written.run.problem(("name",), message)


def _sources(spec: RunSpec) -> list[str]:
    """Paths of all sources of data."""
    return [str(value_at(spec, place)) for name, place in places(spec).items() if name != "model"]


def secrets(written: Written) -> Problems:
    """`{env: NAME}` holds the name of a variable; a secret put there by mistake is not repeated."""
    store = written.store
    for path, secret in (
        (("store", "access_key"), store.access_key),
        (("store", "secret_key"), store.secret_key),
        (("model", "token"), written.model.token),
        (("data", "hub_token"), written.spec.data.hub_token),
    ):
        if isinstance(secret, FromEnv) and _LOOKS_LIKE_A_SECRET.fullmatch(secret.env):
            message = "this looks like the secret itself; env is the name of an environment variable that holds it"
            yield written.run.problem((*path, "env"), message)


def store(written: Written) -> Problems:
    """A folder or S3, and S3 settings for S3 only."""
    spec, problem = written.store, written.run.problem
    scheme, separator, rest = spec.uri.partition("://")
    if "@" in rest or (spec.endpoint and "@" in spec.endpoint):
        message = "credentials in a URL are not accepted; write access_key: {env: NAME} and secret_key: {env: NAME}"
        yield problem(("store",), message)
    elif separator and scheme != "s3":
        yield problem(("store",), f"{scheme}:// is not supported; use a folder or s3://bucket/prefix")
    elif scheme == "s3" and separator and not rest.strip("/"):
        yield problem(("store",), f"'{spec.uri}' names no bucket; write s3://bucket/prefix")
    elif not spec.uri.strip():
        yield problem(("store",), "empty; write a folder or s3://bucket/prefix")
    if spec.endpoint and not re.match(r"https?://", spec.endpoint):
        yield problem(("store", "endpoint"), f"'{spec.endpoint}' is not a URL; write https://host:port")
    if not separator:
        for name in ("endpoint", "region", "access_key", "secret_key"):
            if getattr(spec, name) is not None:
                yield problem(("store", name), "only for s3:// stores; this store is a folder, so remove the key")
    elif (spec.access_key is None) != (spec.secret_key is None):
        given, other = ("access_key", "secret_key") if spec.access_key else ("secret_key", "access_key")
        yield problem(("store",), f"{given} needs {other} too: write {other}: {{env: NAME}}, or remove both")


def model(written: Written) -> Problems:
    """What a model path can be."""
    path, problem = written.model.path, written.run.problem
    scheme, separator, _ = path.partition("://")
    if not path.strip():
        yield problem(("model",), "empty; write a folder, a GGUF file, hf://org/name@revision or s3://...")
    elif separator and scheme not in ("hf", "s3"):
        yield problem(("model",), f"{scheme}:// is not supported; use a folder, a GGUF file, hf://... or s3://...")
    elif scheme == "hf" and separator and not _HUB_MODEL.fullmatch(path):
        yield problem(("model",), f"'{path[:80]}' is not hf://org/name or hf://org/name@revision")
    if written.model.token is not None and scheme != "hf":
        yield problem(("model", "token"), "only for hf:// models; remove the key")


def task_names(written: Written) -> Problems:
    """The name of a task becomes part of file names and of the ledger."""
    for name in written.spec.data.tasks:
        where = ("data", "tasks", name)
        if name == RESERVED_TASK:
            yield written.run.problem(where, "'general' is reserved for data.general; choose another name")
        elif not TASK_NAME.fullmatch(name):
            rule = "1 to 40 letters (a-z), digits, '-' or '_', beginning with a letter or digit"
            yield written.run.problem(where, f"'{name[:60]}' cannot name a task: {rule}")


def held_out(written: Written) -> Problems:
    """Exactly one of `path` and `fraction`, or a file for each task."""
    spec, problem = written.spec.data.held_out, written.run.problem
    where = ("data", "held_out")
    tasks = written.spec.data.tasks
    without = [name for name, task in tasks.items() if task.held_out is None]
    if len(without) < len(tasks):
        for name in without:
            message = "other tasks name their held-out examples and this one does not; write held_out: FILE here too"
            yield problem(("data", "tasks", name), message)
        for field in ("path", "fraction"):
            if getattr(spec, field) is not None:
                message = (
                    "has no effect: the tasks name their held-out examples (data.tasks.<name>.held_out); remove it"
                )
                yield problem((*where, field), message)
    elif spec.path is None and spec.fraction is None:
        message = "needs path or fraction; write path: held_out.jsonl, or fraction: 0.1 to set aside a tenth"
        yield problem(where, message)
    elif spec.path is not None and spec.fraction is not None:
        yield problem((*where, "fraction"), "path and fraction exclude each other; remove one of them")
    elif spec.fraction is not None and "columns" in spec.model_fields_set:
        message = "has no effect with fraction: the columns are those of the tasks; remove it"
        yield problem((*where, "columns"), message)


def selection(written: Written) -> Problems:
    """`balanced` needs labels."""
    select = written.spec.data.select
    form = written.output_format
    if select is not None and select.per_label == "balanced" and form not in (None, "label"):
        message = f"balanced needs labels, but output.format of the prompt is {form}; use any"
        yield written.run.problem(("data", "select", "per_label"), message)


def label_limits(written: Written) -> Problems:
    """A limit per label needs labels."""
    form = written.output_format
    for name, task in written.spec.data.tasks.items():
        if task.max_per_label is not None and form not in (None, "label"):
            message = f"needs labels, but output.format of the prompt is {form}; use max_examples"
            yield written.run.problem(("data", "tasks", name, "max_per_label"), message)


def batch(written: Written) -> Problems:
    """global batch = micro batch x accumulation x world size."""
    train, resources = written.spec.train, written.spec.resources.train
    if train.global_batch_size == "auto":
        return
    world = resources.nodes * _processes(resources)
    micro = 1 if train.micro_batch_size == "auto" else train.micro_batch_size
    unit = micro * world
    if train.global_batch_size % unit == 0:
        return
    below = train.global_batch_size // unit * unit
    near = f"{below} or {below + unit}" if below else f"{unit}"
    of = "the world size" if train.micro_batch_size == "auto" else "micro_batch_size x world size"
    product = f"{world}" if train.micro_batch_size == "auto" else f"{micro} x {world} = {unit}"
    message = f"{train.global_batch_size} is not a multiple of {of} = {product}; use {near}"
    yield written.run.problem(("train", "global_batch_size"), message)


def processes(written: Written) -> Problems:
    """One rank per GPU; of stages that are one process, `one_rank` has the say."""
    wanted = written.spec.resources.train
    ranks, gpus = wanted.processes_per_node, wanted.gpus_per_node
    if ranks is not None and gpus and ranks != gpus:
        message = f"{ranks} does not fit gpus_per_node {gpus}: each rank has one GPU; use {gpus} or remove the key"
        yield written.run.problem(("resources", "train", "processes_per_node"), message)


def one_rank(written: Written) -> Problems:
    """Only training is spread over ranks: several of another stage would each do the whole work.

    The one process of an evaluation may have several GPUs: they share the layers of its model.
    """
    for kind, gpus in (("data", 0), ("eval", None)):
        wanted: StageResources = getattr(written.spec.resources, kind)
        for field, most in (("nodes", 1), ("processes_per_node", 1), ("gpus_per_node", gpus)):
            value = getattr(wanted, field)
            if value is not None and most is not None and value > most:
                what = "uses no GPU" if most == 0 else "runs as one process"
                message = f"{value} has no effect: a stage of kind {kind} {what}; remove the key"
                yield written.run.problem(("resources", kind, field), message)


def dev(written: Written) -> Problems:
    """Looks need a dev set."""
    train, fraction = written.spec.train, written.spec.data.dev_fraction
    if fraction is not None:
        return
    way_out = "set data.dev_fraction: 0.1 to set a tenth aside"
    if train.keep == "best":
        yield written.run.problem(("train", "keep"), f"best needs a dev set; {way_out}, or use last")
    if "dev" in train.model_fields_set:
        yield written.run.problem(("train", "dev"), f"has no effect without a dev set; {way_out}")


def _processes(resources: StageResources) -> int:
    return resources.processes_per_node or max(1, resources.gpus_per_node)
