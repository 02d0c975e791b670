"""What a person sees when files named in run.yaml are missing, empty, broken, or do not fit the prompt."""

import gzip
from pathlib import Path

import pytest

from tests.support.run_folder import PROMPT, RUN, RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def only_task(run: RunFolder, path: str) -> list[str]:
    return run.with_run("train.jsonl", path)


PLACE = "run.yaml:6: data.tasks.tickets.path: "


def test_missing_file_with_the_nearest_name(run: RunFolder) -> None:
    assert only_task(run, "trian.jsonl") == [f"{PLACE}trian.jsonl (trian.jsonl): not found; did you mean train.jsonl?"]


def test_missing_folder(run: RunFolder) -> None:
    assert only_task(run, "data/x.jsonl") == [
        f"{PLACE}data/x.jsonl (data/x.jsonl): not found: the folder data does not exist"
    ]


def test_missing_files_are_not_looked_at_when_told_so(run: RunFolder) -> None:
    run.write("run.yaml", RUN.replace("train.jsonl", "gone.jsonl").replace("model: model", "model: REPLACE-ME"))
    assert run.messages(check_files=False) == []


def test_folder_as_data(run: RunFolder) -> None:
    (run.path / "saved").mkdir()
    assert only_task(run, "saved") == [], "a folder of a data set is looked at with the data"


KNOWN = ".jsonl, .ndjson, .json, .csv, .tsv, .parquet and .arrow, text also with .gz or .zst behind it"


def test_formats(run: RunFolder) -> None:
    run.write("a.xlsx", "x")
    unknown = f"is no format that can be read; supported: {KNOWN}. With another name, set `format`"
    assert only_task(run, "a.xlsx") == [f"{PLACE}'a.xlsx': .xlsx {unknown}"]
    assert only_task(run, "s3://b/a.parquet.gz") == [f"{PLACE}'s3://b/a.parquet.gz': .gz {unknown}"]
    assert only_task(run, "s3://b/a.json.zst") == []
    assert only_task(run, "s3://b/folder") == []
    assert only_task(run, "hf://datasets/org/name@main") == []
    assert only_task(run, "hf://datasets/name") == [
        f"{PLACE}'hf://datasets/name' is not hf://datasets/org/name or hf://datasets/org/name@revision"
    ]
    assert only_task(run, "hf://b/a.csv") == [
        f"{PLACE}'hf://b/a.csv' is a model on the hub; a data set is hf://datasets/org/name@revision"
    ]
    assert only_task(run, "gs://b/a.csv") == [
        f"{PLACE}gs:// is not supported; use a local path, s3://bucket/key or hf://datasets/org/name"
    ]


CONTENT = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n \n", "the file has no record, only empty lines"),
    "cut in half": (
        b'{"text": "a", "lab',
        "line 1, column 15: not JSON: Unterminated string starting at; a .jsonl file has one {...} per line",
    ),
    "indented JSON": (
        b'[\n  {"text": "a"}\n]',
        "line 1, column 1: not JSON: Expecting value; a .jsonl file has one {...} per line",
    ),
    "a list": (b'["a", "b"]\n', "line 1: a record is one {...} per line, and this is a list"),
    "a word": (b'"hello"\n', "line 1: a record is one {...} per line, and this is 'hello'"),
    "not UTF-8": (b'\n{"text": "caf\xe9", "label": "x"}\n', "line 2: byte 0xe9 is not UTF-8"),
    "no column of a placeholder": (
        b'{"txt": "a", "label": "x"}\n',
        "no column for {{ text }} in input of prompt.yaml; did you mean txt? the columns are txt, label",
    ),
    "no column of the answer": (
        b'{"text": "a", "lable": "x"}\n',
        "no column 'label'; did you mean lable? the columns are text, lable; "
        "columns: {output: NAME} names the one with the expected answer",
    ),
    "no columns at all": (b"{}\n", None),
}


@pytest.mark.parametrize("case", CONTENT, ids=str)
def test_content_of_jsonl(run: RunFolder, case: str) -> None:
    content, message = CONTENT[case]
    run.write("broken.jsonl", content)
    messages = only_task(run, "broken.jsonl")
    if message is None:
        assert len(messages) == 2
        assert "the first record has no columns" in messages[0]
        return
    shown = "" if message.startswith("no column") else " (broken.jsonl)"
    assert messages == [f"{PLACE}broken.jsonl{shown}: {message}"]


CSV = {
    "text,label\na,b\n": None,
    "\ufefftext,label\na,b\n": None,
    "text;label\na;b\n": "t.csv: no column for {{ text }} in input of prompt.yaml; the columns are text;label",
    "text,text,label\n": "t.csv (t.csv): line 1: the header has the column 'text' twice",
    "\n\n": "t.csv (t.csv): the file has no header line",
    '"text,label\n': "t.csv (t.csv): line 1: not CSV: unexpected end of data",
}


@pytest.mark.parametrize("content", CSV)
def test_content_of_csv(run: RunFolder, content: str) -> None:
    run.write("t.csv", content)
    message = CSV[content]
    assert only_task(run, "t.csv")[:1] == ([] if message is None else [PLACE + message])


def test_columns_named_in_run_yaml(run: RunFolder) -> None:
    assert run.with_run("{path: train.jsonl}", "{path: train.jsonl, columns: {output: anwser, id: nr}}") == [
        "run.yaml:6: data.tasks.tickets.columns.output: train.jsonl: no column 'anwser'; the columns are text, label",
        "run.yaml:6: data.tasks.tickets.columns.id: train.jsonl: no column 'nr'; the columns are text, label",
    ]


def test_records_may_be_conversations(run: RunFolder) -> None:
    for name in ("general.jsonl", "train.jsonl", "held_out.jsonl"):
        run.write(name, '{"messages": []}\n')
    assert run.with_more("  general: {path: general.jsonl}\n") == []
    run.write("general.jsonl", '{"question": "a"}\n')
    assert len(run.messages()) == 2


def test_unreadable_names_are_no_crash(run: RunFolder) -> None:
    long = "x" * 300 + ".jsonl"
    assert only_task(run, long) == [f"{PLACE}{long} ({long}): cannot be read: File name too long"]
    assert len(only_task(run, '"a\\0b.jsonl"')) == 1
    assert len(only_task(run, "~nobody-at-all/b.jsonl")) == 1


def test_model_of_a_new_run(run: RunFolder) -> None:
    assert run.with_run("model: model", "model: REPLACE-ME") == [
        "run.yaml:2: model: name the base model here: a folder, a GGUF file, or hf://org/name@revision"
    ]


def test_model_that_is_missing(run: RunFolder) -> None:
    assert run.with_run("model: model", "model: modle") == [
        "run.yaml:2: model: modle (modle): not found; did you mean model?"
    ]
    assert run.with_run("model: model", "model: org/name") == [
        "run.yaml:2: model: org/name (org/name): not found: the folder org does not exist;"
        " for a model on the hub write hf://org/name"
    ]


def test_model_that_is_not_one(run: RunFolder) -> None:
    (run.path / "model" / "tokenizer.json").unlink()
    assert run.messages() == [
        "run.yaml:2: model: model (model): no tokenizer; save it there with tokenizer.save_pretrained(folder)"
    ]
    (run.path / "model" / "config.json").unlink()
    assert run.messages() == [
        "run.yaml:2: model: model (model): no config.json; a model folder is in Hugging Face format"
    ]
    run.write("m.bin", "hello")
    assert run.with_run("model: model", "model: m.bin") == [
        "run.yaml:2: model: m.bin (m.bin): not a GGUF file; a model is a folder in Hugging Face format or a GGUF file"
    ]
    run.write("m.gguf", b"GGUF\x03")
    assert run.with_run("model: model", "model: m.gguf") == []


def test_prompt_file_that_is_missing_or_wrong(run: RunFolder) -> None:
    assert run.with_run("prompt: prompt.yaml", "prompt: promt.yaml") == [
        "run.yaml:3: prompt: promt.yaml: not found; did you mean prompt.yaml?"
    ]
    assert run.with_run("prompt: prompt.yaml", "prompt: s3://b/prompt.yaml") == [
        "run.yaml:3: prompt: the prompt is read on this machine; name a local file"
    ]
    run.write("run.yaml", RUN)
    assert run.with_prompt("") == ['prompt.yaml: not a prompt: it needs at least `input: "Message: {{ text }}"`']
    assert run.with_prompt(PROMPT + "labels: {}\nouptut: {}\n") == [
        "prompt.yaml:4: labels: written twice, first in line 2; keep one of them",
        "prompt.yaml:5: ouptut: unknown key, did you mean output?",
    ]
    assert run.with_prompt("input: {{ text }}\n") == [
        "prompt.yaml:1: a key must be text; put text that begins with { or [, such as {{ column }}, in quotes"
    ]


def test_columns_are_looked_at_in_compressed_files_and_tables(run: RunFolder) -> None:
    (run.path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"txt": "a", "label": "a"}\n'))
    [message] = only_task(run, "a.jsonl.gz")
    assert "no column for {{ text }}" in message and "did you mean txt?" in message
    run.write("a.tsv", "text\tlabel\nx\ta\n")
    assert only_task(run, "a.tsv") == []
    (run.path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}')[:-4])
    [message] = only_task(run, "cut.jsonl.gz")
    assert "not a gzip file, or a damaged one" in message


@pytest.mark.parametrize("name", ["a.parquet", "a.json", "a.jsonl.zst", "a.arrow"])
def test_what_needs_a_library_is_looked_at_with_the_data(run: RunFolder, name: str) -> None:
    run.write(name, "anything")
    assert only_task(run, name) == []
