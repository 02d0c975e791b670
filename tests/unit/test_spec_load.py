"""What a person sees for each mistake of notation and shape in run.yaml."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sftjobs.errors import SpecError
from sftjobs.spec.load import load
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import ModelSpec, StoreSpec
from tests.support.run_folder import RUN, RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_every_default_is_filled(run: RunFolder) -> None:
    loaded = run.load()
    assert isinstance(loaded.spec.model, ModelSpec)
    assert loaded.spec.model.path == "model"
    assert loaded.spec.store == StoreSpec(uri=".sftjobs")
    assert isinstance(loaded.spec.prompt, PromptSpec)
    assert list(loaded.spec.prompt.labels) == ["payment", "delivery"]
    assert loaded.folder == run.path
    assert loaded.text == RUN.encode()
    assert loaded.lines.of("data.tasks.tickets.path") == 6
    assert loaded.lines.of("data.tasks.tickets.epochs") == 6
    assert loaded.lines.of("train.epochs") is None


@pytest.mark.parametrize("written", ["1e-4", "0.0001", "1.0e-4", "1E-4"])
def test_numbers_as_people_write_them(run: RunFolder, written: str) -> None:
    assert run.with_more(f"train: {{learning_rate: {written}}}\n") == []
    assert run.load().spec.train.learning_rate == 1e-4


def test_a_whole_number_where_a_fraction_is_allowed(run: RunFolder) -> None:
    assert run.with_more("train: {weight_decay: 0, max_grad_norm: 1}\n") == []


def test_labels_stay_text_whatever_they_look_like(run: RunFolder) -> None:
    run.write("prompt.yaml", 'input: "{{ text }}"\nlabels: {yes: a, no: b, 1: c, null: d}\noutput: {format: label}\n')
    prompt = run.load().spec.prompt
    assert isinstance(prompt, PromptSpec)
    assert list(prompt.labels) == ["yes", "no", "1", "null"]


def test_prompt_written_in_run_yaml(run: RunFolder) -> None:
    assert run.with_run("prompt: prompt.yaml", "prompt: {input: '{{ text }}', labels: {a: x, b: y}}") == [
        "run.yaml:6: data.tasks.tickets.path: train.jsonl: no column 'output'; the columns are text, label; "
        "columns: {output: NAME} names the one with the expected answer",
        "run.yaml:7: data.held_out.path: held_out.jsonl: no column 'output'; the columns are text, label; "
        "columns: {output: NAME} names the one with the expected answer",
    ]
    assert run.with_run("prompt: prompt.yaml", "prompt: {inptu: '{{ text }}'}") == [
        'run.yaml:3: prompt.input: required, and missing; write for example `input: "Message: {{ text }}"`',
        "run.yaml:3: prompt.inptu: unknown key, did you mean input?",
    ]


NOTATION = {
    "tab": (
        "name: a\ndata:\n\ttasks: 1\n",
        "run.yaml:3: not YAML, column 1: a tab (→); indent with spaces\n        →tasks: 1\n        ^",
    ),
    "indentation": (
        "name: a\n  model: b\n",
        "run.yaml:2: not YAML, column 8: this key is indented differently from the lines above\n"
        "          model: b\n               ^",
    ),
    "two colons": (
        "name: a: b\n",
        "run.yaml:1: not YAML, column 8: a second ':' in one line; put text that holds ': ' in quotes\n"
        "        name: a: b\n               ^",
    ),
    "open quotation mark": (
        'name: "a\n',
        "run.yaml:2: not YAML, column 1: a quotation mark that is opened and never closed",
    ),
    "open bracket": (
        "name: {a: 1\nmodel: b\n",
        "run.yaml:2: not YAML, column 6: a '{' or '[' that is not closed, or a comma is missing\n"
        "        model: b\n             ^",
    ),
    "placeholder without quotes": (
        "prompt:\n  input: {{ text }}\n",
        "run.yaml:2: a key must be text; put text that begins with { or [, such as {{ column }}, in quotes",
    ),
    "at sign": (
        "name: @a\n",
        "run.yaml:1: not YAML, column 7: a value cannot begin with this character; put the value in quotes\n"
        "        name: @a\n              ^",
    ),
    "alias": (
        "name: &x a\nmodel: *x\n",
        "run.yaml:1: name: anchors and aliases (&, *) are not supported; write the value out, or put it in quotes",
    ),
    "tag": (
        "name: !!python/object:os.system a\n",
        "run.yaml:1: name: tags (!) are not supported; put text that begins with ! in quotes",
    ),
    "two documents": (
        "name: a\n---\nname: b\n",
        "run.yaml:2: a second document begins here (`---`); a file holds one",
    ),
    "deep nesting": ("[" * 100_000, "run.yaml:1: more than 40 levels of nesting"),
    "control character": (
        "name: a\nmodel: \x01\n",
        "run.yaml:2: invisible character U+0001, which YAML does not allow; delete it",
    ),
    "empty": ("", "run.yaml: the file is empty; sftjobs init NAME writes one to start from"),
    "only a comment": ("# later\n", "run.yaml: the file is empty; sftjobs init NAME writes one to start from"),
    "list": (
        "- a\n",
        "run.yaml: the file is not a mapping of `key: value` lines; sftjobs init NAME writes one to start from",
    ),
}


@pytest.mark.parametrize("case", NOTATION, ids=str)
def test_notation(run: RunFolder, case: str) -> None:
    text, message = NOTATION[case]
    run.write("run.yaml", text)
    assert run.messages() == [message]


def test_not_utf8(run: RunFolder) -> None:
    run.write("run.yaml", b"name: a\nmodel: caf\xe9\n")
    assert run.messages() == ["run.yaml:2: byte 0xe9 is not UTF-8; save the file with the encoding UTF-8"]


def test_byte_order_mark_and_windows_lines(run: RunFolder) -> None:
    run.write("run.yaml", b"\xef\xbb\xbf" + RUN.replace("\n", "\r\n").encode())
    assert run.messages() == []


def test_duplicate_key_beside_other_problems(run: RunFolder) -> None:
    assert run.with_more("seed: 1\nseed: 2\ntrian: {}\n") == [
        "run.yaml:9: seed: written twice, first in line 8; keep one of them",
        "run.yaml:10: trian: unknown key, did you mean train?",
    ]


def test_file_is_missing(run: RunFolder) -> None:
    run.write("run.yml", RUN)
    (run.path / "run.yaml").unlink()
    assert run.messages() == [
        "run.yaml: not found; did you mean run.yml? Else: sftjobs init NAME writes one to start from"
    ]


def test_folder_instead_of_file(run: RunFolder) -> None:
    with pytest.raises(SpecError) as caught:
        load(run.path)
    assert str(caught.value) == f"{run.path}: is a folder, not a file; sftjobs init NAME writes one to start from"


SHAPE = {
    "train: {micro_batch_siez: 4}": "train.micro_batch_siez: unknown key, did you mean micro_batch_size?",
    "train: {learning-rate: 1}": "train.learning-rate: unknown key, did you mean learning_rate?",
    "train: {lr: 1e-4}": "train.lr: unknown key, did you mean learning_rate?",
    "confidence: 0.9": "confidence: unknown key here, it belongs to eval.confidence",
    "epochs: 3": "epochs: unknown key here, it belongs to data.tasks.<name>.epochs or train.epochs",
    "train: {lora: {quux: 1}}": (
        "train.lora.quux: unknown key; known here: rank, alpha, dropout, target, learning_rate_ratio, cycles"
    ),
    "train: {learning_rate: '1e-4'}": (
        "train.learning_rate: '1e-4' is text; write the number as 1e-4, without quotes, '_' or ','"
    ),
    "seed: 1_000": "seed: '1_000' is text; write the number as 1000, without quotes, '_' or ','",
    "train: {learning_rate: fast}": (
        "train.learning_rate: 'fast' is not one of the choices; expected auto or a number, above 0"
    ),
    "train: {learning_rate: 0}": "train.learning_rate: 0 is not allowed; expected auto or a number, above 0",
    "train: {epochs: 0}": ("train.epochs: 0 is not allowed; expected a number, above 0 and at most 1000"),
    "train: {epochs: yes}": ("train.epochs: 'yes' is text; expected a number, above 0 and at most 1000"),
    "train: {epochs: true}": (
        "train.epochs: true is neither text nor a number; expected a number, above 0 and at most 1000"
    ),
    "train: {method: lroa}": (
        "train.method: 'lroa' is not one of the choices; expected auto, lora, rslora, dora, lora_plus, "
        "periodic_lora, qlora, prompt_tuning, p_tuning, prefix_tuning or full, did you mean lora?"
    ),
    "train: {warmup: }": (
        "train.warmup: nothing is written here; write a number, at least 0 and below 1,"
        " or remove the key to take the default"
    ),
    "train: 5": (
        "train: 5 is a whole number; expected a mapping with the keys"
        " method, learning_rate, epochs, global_batch_size, micro_batch_size, ..."
    ),
    "train:": (
        "train: nothing is written here; write a mapping with the keys"
        " method, learning_rate, epochs, global_batch_size, micro_batch_size, ...,"
        " or remove the key to take the default"
    ),
    "eval: {metrics: accuracy}": (
        "eval.metrics: 'accuracy' is not one of the choices; expected auto or a list of accuracy, macro_f1,"
        " exact_match, format, json_f1, numeric, rouge_l, chrf or loss or a mapping with the keys file, function and"
        " name"
    ),
    "eval: {metrics: [auc]}": (
        "eval.metrics[0]: 'auc' is not one of the choices; expected accuracy, macro_f1, exact_match,"
        " format, json_f1, numeric, rouge_l, chrf or loss or a mapping with the keys file, function and name"
    ),
    "eval: {metrics: [{function: f}]}": (
        "eval.metrics[0].file: required, and missing; write for example `file: metrics.py`"
    ),
    "eval: {engine: vllm}": (
        "eval.engine: 'vllm' is not one of the choices; expected transformers"
        " or a mapping with the keys command, start_s and concurrency"
    ),
    "eval: {compare_to: 7}": 'eval.compare_to: 7 is a whole number; expected text: put it in quotes, "7"',
    "seed: -1": "seed: -1 is not allowed; expected a whole number, at least 0 and below 2,147,483,648",
    "seed: 9999999999999999999999": (
        "seed: 9999999999999999999999 is not allowed; expected a whole number, at least 0 and below 2,147,483,648"
    ),
    "limits: {hang_after_s: .inf}": "limits.hang_after_s: '.inf' is text; expected a whole number, at least 5",
}


@pytest.mark.parametrize("text", SHAPE)
def test_shape(run: RunFolder, text: str) -> None:
    assert run.with_more(f"{text}\n") == [f"run.yaml:8: {SHAPE[text]}"]


def test_missing_keys_come_with_an_example(run: RunFolder) -> None:
    run.write("run.yaml", "seed: 1\n")
    assert run.messages() == [
        "run.yaml: prompt: required, and missing; write for example `prompt: prompts/tickets.yaml`",
        "run.yaml: name: required, and missing; write for example `name: tickets-v1`",
        "run.yaml: model: required, and missing; write for example `model: hf://org/name@revision`",
        "run.yaml: data: required, and missing; write for example "
        "`data: {tasks: {tickets: {path: train.jsonl}}, held_out: {fraction: 0.1}}`",
    ]


def test_the_rest_is_checked_beside_missing_keys(run: RunFolder) -> None:
    run.write("run.yaml", "name: A\nprompt: prompt.yaml\ndata: {tasks: {t: {path: gone.jsonl}, u: {}}}\n")
    run.write("prompt.yaml", "input: x\n")
    assert [message.partition(": ")[2].partition(": ")[0] for message in run.messages()] == [
        "model",
        "name",
        "data.tasks.u.path",
        "data.held_out",
        "data.tasks.t.path",
        "input",
    ]


def test_missing_key_inside_a_mapping_has_its_line(run: RunFolder) -> None:
    assert run.with_run("tickets: {path: train.jsonl}", "tickets: {epochs: 2}") == [
        "run.yaml:6: data.tasks.tickets.path: required, and missing; write for example `path: data/train.jsonl`"
    ]


SECRET_VALUE = "AKIAABCDEFGHIJKLMNOP"


@pytest.mark.parametrize(
    "store",
    [
        f"{{uri: 's3://b/p', access_key: {SECRET_VALUE}, secret_key: {{env: S}}}}",
        f"{{uri: 's3://b/p', access_key: [{SECRET_VALUE}], secret_key: {{env: S}}}}",
        f"{{uri: 's3://b/p', access_key: {{{SECRET_VALUE}: 1}}, secret_key: {{env: S}}}}",
        f"{{uri: 's3://b/p', access_key: {{env: {SECRET_VALUE}}}, secret_key: {{env: S}}}}",
        f"{{uri: 's3://b/p', access_key: {{env: {SECRET_VALUE}/+=}}, secret_key: {{env: S}}}}",
        f"s3://{SECRET_VALUE}:x@b/p",
        f"{{uri: 's3://b/p', access_key: \"{SECRET_VALUE}",
        f"{{uri: 's3://b/p', access_key: *{SECRET_VALUE}}}",
        f"\n  uri: s3://b/p\n  secret_key:\n    @{SECRET_VALUE}",
        f"\n  uri: s3://b/p\n  'secret_key' : a: {SECRET_VALUE}",
    ],
)
def test_a_secret_is_refused_and_never_repeated(run: RunFolder, store: str) -> None:
    messages = run.with_more(f"store: {store}\n")
    assert messages
    assert SECRET_VALUE not in "\n".join(messages)


def test_what_to_do_with_a_secret(run: RunFolder) -> None:
    assert run.with_more("store: {uri: 's3://b/p', access_key: {env: K}, secret_key: hunter2}\n") == [
        "run.yaml:8: store.secret_key: a secret is never written here: put it into an environment variable"
        " and write {env: NAME_OF_THE_VARIABLE}"
    ]


def test_all_problems_at_once_in_order_of_lines(run: RunFolder) -> None:
    run.write("prompt.yaml", 'input: "Ticket: {{ txt }}"\nlabels: {a: x, b: y}\noutput: {format: lable}\n')
    messages = run.with_more("train: {epochs: 0}\nresources: {train: {nodes: 2}}\nevl: {}\n")
    column = "no column for {{ txt }} in input of prompt.yaml; did you mean text? the columns are text, label"
    assert messages == [
        f"run.yaml:6: data.tasks.tickets.path: train.jsonl: {column}",
        f"run.yaml:7: data.held_out.path: held_out.jsonl: {column}",
        "run.yaml:8: train.epochs: 0 is not allowed; expected a number, above 0 and at most 1000",
        "run.yaml:10: evl: unknown key, did you mean eval?",
        "prompt.yaml:3: output.format: 'lable' is not one of the choices; expected label, json, regex or free,"
        " did you mean label?",
    ]


def test_rules_run_beside_a_wrong_field_without_lies_about_it(run: RunFolder) -> None:
    run.write("run.yaml", RUN.replace("{path: held_out.jsonl}", "{fractoin: 0.1}").replace("name: t", "name: T"))
    assert run.messages() == [
        "run.yaml:1: name: 'Tickets' cannot name a run: 1 to 30 characters: lower-case letters, digits and '-',"
        " starting with a letter, not ending with '-'; for example tickets",
        "run.yaml:7: data.held_out.fractoin: unknown key, did you mean fraction?",
    ]


def test_a_long_prompt_loads_quickly(run: RunFolder) -> None:
    examples = "".join(
        f"  - input: {{text: 'Ticket number {n}, about a parcel that is late'}}\n    output: delivery\n"
        for n in range(1000)
    )
    run.write("prompt.yaml", (run.path / "prompt.yaml").read_text() + "examples:\n" + examples)
    run.write("train.jsonl", '{"text": "x", "label": "delivery"}\n' * 1000)
    started = time.process_time()  # of this process: other work on the machine does not count
    assert run.messages() == []
    assert time.process_time() - started < 0.3


def test_help_imports_nothing_of_this() -> None:
    heavy = "('pydantic', 'yaml', 'sftjobs.spec.load')"
    code = f"import sys, sftjobs.cli.main; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
