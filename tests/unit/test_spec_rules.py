"""What a person sees when fields of run.yaml do not go together."""

from pathlib import Path

import pytest

from sftjobs.plan.make import make
from sftjobs.plan.types import PreviousRun
from sftjobs.spec import rules
from tests.support.run_folder import RUN, RunFolder
from tests.support.specs import artifact, external, make_facts, make_spec


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


RULE = "1 to 30 characters: lower-case letters, digits and '-', starting with a letter, not ending with '-'"
NAMES = {
    "Intent_V3": f"'Intent_V3' cannot name a run: {RULE}; for example intent-v3",
    "3rd": f"'3rd' cannot name a run: {RULE}; for example rd",
    "意图": f"'意图' cannot name a run: {RULE}",
}


@pytest.mark.parametrize("name", NAMES)
def test_run_name(run: RunFolder, name: str) -> None:
    assert run.with_run("name: tickets", f"name: {name}") == [f"run.yaml:1: name: {NAMES[name]}"]


def test_job_names_fit(run: RunFolder) -> None:
    name = "n" * 30
    assert run.with_run("name: tickets", f"name: {name}") == []
    assert run.with_run("name: tickets", f"name: {name}\neval: {{compare_to: old}}") == [
        f"run.yaml:1: name: 30 characters are too many for this run: the Job {name}-eval-previous-a99 would have more"
        " than 45 characters; use at most 27"
    ]


def test_the_stages_are_those_of_the_plan() -> None:
    gguf = {**make_facts().externals, "model": external("model.gguf")}
    previous = PreviousRun(run_id="old-1", model=artifact("train", "old")[0])
    plan = make(make_spec(), make_facts(externals=gguf, previous=previous))
    assert {stage.name for stage in plan.stages} == {*rules.STAGES, rules.STAGE_OF_PREVIOUS}


MORE = {
    "train: {global_batch_size: 10, micro_batch_size: 4}\nresources: {train: {nodes: 2}}": (
        "run.yaml:8: train.global_batch_size: 10 is not a multiple of micro_batch_size x world size = 4 x 2 = 8;"
        " use 8 or 16"
    ),
    "train: {global_batch_size: 3, micro_batch_size: 4}": (
        "run.yaml:8: train.global_batch_size: 3 is not a multiple of micro_batch_size x world size = 4 x 1 = 4; use 4"
    ),
    "train: {global_batch_size: 9}\nresources: {train: {gpus_per_node: 2}}": (
        "run.yaml:8: train.global_batch_size: 9 is not a multiple of the world size = 2; use 8 or 10"
    ),
    "resources: {train: {gpus_per_node: 4, processes_per_node: 8}}": (
        "run.yaml:8: resources.train.processes_per_node: 8 does not fit gpus_per_node 4: each rank has one GPU;"
        " use 4 or remove the key"
    ),
    "resources: {eval: {nodes: 2}}": (
        "run.yaml:8: resources.eval.nodes: 2 has no effect: a stage of kind eval runs as one process; remove the key"
    ),
    "resources: {data: {gpus_per_node: 1}}": (
        "run.yaml:8: resources.data.gpus_per_node: 1 has no effect: a stage of kind data uses no GPU; remove the key"
    ),
    "eval: {compare_to: tickets}": (
        "run.yaml:8: eval.compare_to: this is the run itself; name an earlier run (`sftjobs ls` lists them)"
        " or remove the key"
    ),
    "eval: {metrics: [accuracy, accuracy]}": (
        "run.yaml:8: eval.metrics: metric accuracy is listed twice; list each once"
    ),
    "eval: {metrics: [json_f1]}": (
        "run.yaml:8: eval.metrics: json_f1 is for answers in JSON, but output.format of the prompt is label; "
        "use exact_match"
    ),
    'eval: {engine: {command: [vllm, serve, "{model}"]}}': (
        "run.yaml:8: eval.engine.command: 'vllm serve {model}' has no {port}: nobody would know where it listens;"
        " write {port} where it belongs"
    ),
    'eval: {engine: {command: [vllm, --port, "{port}"]}}': (
        "run.yaml:8: eval.engine.command: 'vllm --port {port}' has no {model}: it would serve some other model;"
        " write {model} where it belongs"
    ),
    'eval: {metrics: [loss], engine: {command: [vllm, "{model}", "{port}"]}}': (
        "run.yaml:8: eval.metrics: loss needs eval.engine: transformers; a server does not give it"
    ),
    "eval: {top_p: 0.5}": (
        "run.yaml:8: eval.top_p: has no effect with temperature 0: the most likely token is taken; remove it, or set a "
        "temperature"
    ),
    "eval: {baselines: [classic, classic]}": "run.yaml:8: eval.baselines: a baseline is listed twice; list each once",
    "train: {keep: best}": (
        "run.yaml:8: train.keep: best needs a dev set; set data.dev_fraction: 0.1 to set a tenth aside, or use last"
    ),
    "train: {dev: {patience: 3}}": (
        "run.yaml:8: train.dev: has no effect without a dev set; set data.dev_fraction: 0.1 to set a tenth aside"
    ),
    "store: gs://b/p": "run.yaml:8: store: gs:// is not supported; use a folder or s3://bucket/prefix",
    "store: s3://": "run.yaml:8: store: 's3://' names no bucket; write s3://bucket/prefix",
    "store: s3://key:pass@b/p": (
        "run.yaml:8: store: credentials in a URL are not accepted; write access_key: {env: NAME}"
        " and secret_key: {env: NAME}"
    ),
    "store: {uri: s3://b/p, access_key: {env: A}}": (
        "run.yaml:8: store: access_key needs secret_key too: write secret_key: {env: NAME}, or remove both"
    ),
    "store: {uri: out, region: r}": (
        "run.yaml:8: store.region: only for s3:// stores; this store is a folder, so remove the key"
    ),
    "store: {uri: s3://b/p, endpoint: minio:9000}": (
        "run.yaml:8: store.endpoint: 'minio:9000' is not a URL; write https://host:port"
    ),
}


@pytest.mark.parametrize("text", MORE)
def test_fields_that_do_not_go_together(run: RunFolder, text: str) -> None:
    assert run.with_more(f"{text}\n") == [MORE[text]]


TASK_RULE = "1 to 40 letters (a-z), digits, '-' or '_', beginning with a letter or digit"
DATA = {
    ("    tickets: {", "    general: {"): (
        "run.yaml:6: data.tasks.general: 'general' is reserved for data.general; choose another name"
    ),
    ("    tickets: {", "    a/b: {"): f"run.yaml:6: data.tasks.a/b: 'a/b' cannot name a task: {TASK_RULE}",
    ("{path: held_out.jsonl}", "{}"): (
        "run.yaml:7: data.held_out: needs path or fraction; write path: held_out.jsonl, or fraction: 0.1"
        " to set aside a tenth"
    ),
    ("{path: held_out.jsonl}", "{path: held_out.jsonl, fraction: 0.1}"): (
        "run.yaml:7: data.held_out.fraction: path and fraction exclude each other; remove one of them"
    ),
    ("{path: held_out.jsonl}", "{fraction: 0.1, columns: {output: label}}"): (
        "run.yaml:7: data.held_out.columns: has no effect with fraction: the columns are those of the tasks; remove it"
    ),
    ("{path: held_out.jsonl}", "{path: ./train.jsonl}"): (
        "run.yaml:7: data.held_out.path: './train.jsonl' is also data.tasks.tickets.path: held-out examples are never"
        " trained on; name another file, or set data.held_out to {fraction: 0.1}"
    ),
    ("model: model", "model: {path: model, token: {env: T}}"): (
        "run.yaml:2: model.token: only for hf:// models; remove the key"
    ),
    ("model: model", "model: https://x.example/m"): (
        "run.yaml:2: model: https:// is not supported; use a folder, a GGUF file, hf://... or s3://..."
    ),
    (
        "model: model",
        "model: hf://name",
    ): "run.yaml:2: model: 'hf://name' is not hf://org/name or hf://org/name@revision",
}


@pytest.mark.parametrize("change", DATA)
def test_data_and_model(run: RunFolder, change: tuple[str, str]) -> None:
    assert run.with_run(*change) == [DATA[change]]


def test_settings_of_labels_without_labels(run: RunFolder) -> None:
    run.write("prompt.yaml", 'input: "{{ text }}"\n')
    columns = "columns: {output: label}}"
    changed = RUN.replace("train.jsonl}", f"train.jsonl, {columns}").replace("out.jsonl}", f"out.jsonl, {columns}")
    run.write("run.yaml", changed + "  select: {keep: 5, per_label: balanced}\neval: {metrics: [accuracy]}\n")
    assert run.messages() == [
        "run.yaml:8: data.select.per_label: balanced needs labels, but output.format of the prompt is free; use any",
        "run.yaml:9: eval.metrics: accuracy is for labels, but output.format of the prompt is free; use exact_match",
    ]


def test_remote_inputs_are_not_touched(run: RunFolder) -> None:
    changed = RUN.replace("train.jsonl", "s3://b/train.csv").replace("held_out.jsonl", "store:abc/held_out.jsonl")
    run.write("run.yaml", changed.replace("model: model", "model: hf://org/name@main"))
    assert run.messages() == []
