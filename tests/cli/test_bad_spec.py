"""Mistakes in run.yaml, the prompt and the names of files: what a person sees, and that nothing was begun."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sftjobs.cli.context import owner, plan_file
from sftjobs.cli.machine import may_have_gpu
from sftjobs.cli.run import _run_here
from sftjobs.names import Exit
from sftjobs.runs import create_run
from tests.support.cli_run import RUN, CliRun, records


def mistyped_key(run: CliRun) -> None:
    run.change("epochs", "epoch")


def wrong_type(run: CliRun) -> None:
    run.change("epochs: 1", "epochs: lots")


def missing_file(run: CliRun) -> None:
    (run.folder / "train.jsonl").unlink()


def empty_file(run: CliRun) -> None:
    run.write("train.jsonl", "")


def csv_without_column(run: CliRun) -> None:
    run.change("train.jsonl", "train.csv")
    run.write("train.csv", "text,lable\nwhere is it,delivery\n")


def prompt_without_column(run: CliRun) -> None:
    run.change("{{ text }}", "{{ txt }}", "prompt.yaml")


def model_without_tokenizer(run: CliRun) -> None:
    for file in (run.folder / "model").glob("tokenizer*"):
        file.unlink()


def empty_spec(run: CliRun) -> None:
    run.write("run.yaml", "")


def no_spec(run: CliRun) -> None:
    (run.folder / "run.yaml").unlink()


def broken_encoding(run: CliRun) -> None:
    run.write("run.yaml", RUN.encode() + b"# \xff\n")


CASES: list[tuple[Callable[[CliRun], None], list[str]]] = [
    (mistyped_key, ["run.yaml:8: train.epoch: unknown key, did you mean epochs?"]),
    (wrong_type, ["run.yaml:8: train.epochs: 'lots' is text; expected a number, above 0"]),
    (missing_file, ["run.yaml:6: data.tasks.tickets.path: train.jsonl (DIR/train.jsonl): not found; the folder has"]),
    (empty_file, ["run.yaml:6: data.tasks.tickets.path: train.jsonl (DIR/train.jsonl): the file is empty"]),
    (csv_without_column, [
        "run.yaml:6: data.tasks.tickets.path: train.csv: no column 'label'; did you mean lable? "
        "the columns are text, lable; columns: {output: NAME} names the one with the expected answer"
    ]),
    (prompt_without_column, [
        "run.yaml:6: data.tasks.tickets.path: train.jsonl: no column for {{ txt }} in input of prompt.yaml; "
        "did you mean text? the columns are text, label",
        "run.yaml:7: data.held_out.path: held_out.jsonl: no column for {{ txt }}",
    ]),
    (model_without_tokenizer, [
        "run.yaml:2: model: model (DIR/model): no tokenizer; save it there with tokenizer.save_pretrained(folder)"
    ]),
    (empty_spec, ["run.yaml: the file is empty; sftjobs init NAME writes one to start from"]),
    (no_spec, ["run.yaml: not found; did you mean prompt.yaml? Else: sftjobs init NAME writes one to start from"]),
    (broken_encoding, ["run.yaml:9: byte 0xff is not UTF-8; save the file with the encoding UTF-8"]),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "said"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_a_mistake_looks_like(
    spoil: Callable[[CliRun], None], said: list[str], sft: CliRun, tmp_path: Path
) -> None:
    spoil(sft)
    answer = sft("run" if spoil in (mistyped_key, no_spec, model_without_tokenizer) else "check")
    assert answer.code == Exit.BAD_CONFIG
    head, *problems = answer.err.replace(str(tmp_path), "DIR").splitlines()
    assert head == f"{len(said)} problem{'s' if len(said) > 1 else ''}:"
    assert [problem.strip()[: len(text)] for problem, text in zip(problems, said, strict=True)] == said
    assert answer.out == ""
    assert not (sft.folder / ".sftjobs").exists(), "nothing was begun"


def test_every_mistake_at_once(sft: CliRun) -> None:
    mistyped_key(sft)
    prompt_without_column(sft)
    model_without_tokenizer(sft)
    answer = sft("plan")
    assert answer.code == Exit.BAD_CONFIG
    assert answer.err.startswith("4 problems:\n")


def test_problems_as_json(sft: CliRun) -> None:
    """`check` is asked for problems, so they are its result; for other verbs they are an error."""
    mistyped_key(sft)
    answer = sft("check", "-o", "json")
    assert answer.code == Exit.BAD_CONFIG
    assert answer.json() == {
        "problems": [
            {"file": "run.yaml", "line": 8, "column": None, "path": "train.epoch",
             "message": "unknown key, did you mean epochs?"}
        ]
    }  # fmt: skip
    for verb in ("plan", "run", "explain"):
        answer = sft(verb, "-o", "json")
        assert (answer.code, answer.out) == (Exit.BAD_CONFIG, "")
        assert "run.yaml:8: train.epoch: unknown key" in answer.err


def test_a_status_needs_the_store_of_run_yaml_only(sft: CliRun) -> None:
    """Somebody edits run.yaml while a run goes on."""
    sft.write("run.yaml", RUN.replace("epochs", "epoch") + "store: elsewhere\n")
    answer = sft("status", "tickets")
    assert answer.code == Exit.BAD_CONFIG
    assert f"there is no run in {sft.folder}/elsewhere yet; start one with `sftjobs run`" in answer.err


def test_no_run_yaml_and_no_store(tmp_path: Path, tokenizer_only: Path) -> None:
    empty = tmp_path / "empty"
    sft = CliRun(tmp_path, tokenizer_only)
    empty.mkdir()
    for verb in (["status", "x"], ["ls"], ["pull", "x", "model", "out"]):
        answer = sft(*verb, folder=empty)
        assert answer.code == Exit.BAD_CONFIG
        assert f"Error: no run.yaml and no .sftjobs/ in {empty}" in answer.err
        assert "SFTJOBS_STORE_URI" in answer.err
    assert list(empty.iterdir()) == []


def test_without_the_libraries_of_stages(sft: CliRun, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`pip install sftjobs` without `[jobs]`, made by leaving packages out of a folder of links."""
    answer = sft.with_packages(tmp_path_factory.mktemp("packages"), leave_out=("torch", "peft"))("run")
    assert answer.code == Exit.BAD_CONFIG
    assert (
        "this environment: missing peft, torch; install what stage programs need: pip install 'sftjobs[jobs]'"
        in answer.err
    )


def test_words_that_are_not_commands(sft: CliRun) -> None:
    sft.write("train.jsonl", records(8))
    for arguments, said in (
        (["chek"], "there is no command 'chek'; did you mean 'check'? `sftjobs --help` lists them."),
        (["run", "--bakend", "process"], "No such option '--bakend'. Did you mean '--backend'?"),
        (["explain", "--stage", "trian"], "no stage 'trian' in this run; stages: data, train, eval-base, baselines, "),
        (["status", "tickets"], f"no run 'tickets': there is no run in {sft.folder}/.sftjobs yet"),
        (["pull", "tickets", "modle", "out"], "'modle' is not one of 'model', 'adapter', 'ledger'"),
    ):
        answer = sft(*arguments)
        assert answer.code == Exit.BAD_CONFIG, answer
        assert said in answer.err


def test_nodes_that_would_share_gpus_are_refused_before_any_work(sft: CliRun) -> None:
    sft.write("run.yaml", RUN + "resources: {train: {nodes: 2, gpus_per_node: 1}}\n")
    answer = sft("run")
    assert answer.code == Exit.BAD_CONFIG
    assert "run.yaml:9: resources.train.nodes: 2 nodes with GPUs need several machines" in answer.err


@pytest.mark.skipif(may_have_gpu(), reason="this machine may have a GPU")
def test_gpus_that_are_not_there_are_refused_before_any_work(sft: CliRun) -> None:
    sft.write("run.yaml", RUN + "resources: {train: {gpus_per_node: 1}}\n")
    answer = sft("run")
    assert answer.code == Exit.BAD_CONFIG
    assert "stage train is planned for GPUs, and this machine has no driver of one" in answer.err
    assert sft("ls", "-o", "json").json() == []
    planned = plan_file(sft.folder / "run.yaml")
    who = owner("tickets", "process", sft.folder / "run.yaml", now=1.0)
    run_id = create_run(planned.store, planned.plan, planned.loaded.text, who)
    again = sft("resume", run_id)
    assert again.code == Exit.BAD_CONFIG
    assert "stage train is planned for GPUs" in again.err


def test_more_ranks_than_the_machine_has_cores_for_are_noted_before_they_start(
    sft: CliRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ranks = "train: {epochs: 1}\nresources: {train: {processes_per_node: 5000}}\n"
    sft.write("run.yaml", RUN.replace("train: {micro_batch_size: 4, global_batch_size: 8, epochs: 1}\n", ranks))
    monkeypatch.setattr("sftjobs.cli.execute.execute", lambda *_: 0)
    assert _run_here(sft.folder / "run.yaml", "text") == 0
    assert "note: stage train starts 5,000 ranks with 2 threads each, and this machine has " in capsys.readouterr().err
