"""`sftjobs why` on a committed data stage, as a person calls it."""

from pathlib import Path

import pytest

from jobs.data.__main__ import run
from sftjobs import names, runs
from sftjobs.cli.context import plan_file
from sftjobs.names import Exit
from sftjobs.plan.finish import finish
from sftjobs.store.base import Store
from tests.support.cli_run import CliRun, records
from tests.support.committing import commit_stage
from tests.support.program_runner import run_here

OWNER = runs.Owner(user="u", host="h", backend="process", run="tickets", created=1.0)


def with_data(sft: CliRun, scratch: Path) -> Store:
    """Commit what the data stage really makes, without a run around it."""
    planned = plan_file(sft.folder / "run.yaml")
    plan = planned.plan
    finished = finish(plan, "data", {})
    sources = {name: Path(external.source) for name, external in plan.facts.externals.items()}
    made = run_here(run, "jobs.data", finished.config, sources, scratch)
    files = {path.name: path.read_bytes() for path in made.content.iterdir()}
    commit_stage(planned.store, finished, scratch / "commit", files, made.counts)
    runs.create_run(planned.store, plan, (sft.folder / "run.yaml").read_bytes(), OWNER)
    return planned.store


@pytest.fixture
def done(sft: CliRun, tmp_path_factory: pytest.TempPathFactory) -> CliRun:
    sft.write("train.jsonl", records(8) + records(1))  # the last one is there already
    with_data(sft, tmp_path_factory.mktemp("why"))
    return sft


def test_the_counts_and_one_record(done: CliRun) -> None:
    answer = done("why", "tickets")
    assert answer.code == 0, answer.err
    assert "13 records: 8 in the training set, 4 in the held-out set" in answer.out
    counts = done("why", "tickets", "-o", "json").json()
    dropped = {row["rule"]: row["first"][0]["line"] for row in counts["dropped"]}
    assert dropped == {"duplicate": 9}
    answer = done("why", "tickets", "train.jsonl:1")
    assert answer.code == 0, answer.err
    for said in ("kept in the training set", "epoch 1: once", "text: message 0 about a bill", "the same example again"):
        assert said in answer.out


def test_texts_come_from_the_artifact_when_the_source_has_changed(done: CliRun) -> None:
    id_ = done("why", "tickets", "train.jsonl:1", "-o", "json").json()["id"]
    done.write("train.jsonl", "{}\n")
    found = done("why", "tickets", id_[:8], "-o", "json").json()
    assert found["text"]["messages"][-1] == {"role": "assistant", "content": "payment"}


def test_texts_come_from_the_store_when_the_source_is_gone(done: CliRun) -> None:
    store = plan_file(done.folder / "run.yaml").store
    source = done.folder / "train.jsonl"
    digest = done("why", "tickets", "train.jsonl:1", "-o", "json").json()["source"]
    store.create(names.pushed_input(digest), source.read_bytes())
    source.unlink()
    found = done("why", "tickets", "train.jsonl:2", "-o", "json", "--store", str(done.folder / ".sftjobs")).json()
    assert found["text"]["record"]["text"] == "message 1 about a parcel"


def test_questions_without_an_answer(sft: CliRun, tmp_path: Path) -> None:
    planned = plan_file(sft.folder / "run.yaml")
    runs.create_run(planned.store, planned.plan, b"name: tickets\n", OWNER)
    answer = sft("why", "tickets")
    assert answer.code == Exit.BAD_CONFIG
    assert "stage data is not done yet, so there is no ledger" in answer.err
    answer = sft("why", "tikets", "abcdef")
    assert answer.code == Exit.BAD_CONFIG
    assert "did you mean 'tickets'?" in answer.err


def test_an_unknown_id_and_a_ledger_that_is_none(done: CliRun) -> None:
    answer = done("why", "tickets", "ffffff00")
    assert answer.code == Exit.BAD_CONFIG
    assert "no record has the id 'ffffff00'" in answer.err
    ledger = next((done.folder / ".sftjobs").glob("stages/data/*/inc/*/content/ledger.parquet"))
    body = ledger.read_bytes()
    ledger.chmod(0o644)
    ledger.write_bytes(b"x" * len(body))
    answer = done("why", "tickets")
    assert answer.code == Exit.INFRASTRUCTURE
    assert str(Path(*ledger.parts[-7:])) in answer.err.replace("\n", "")
