"""A data set of a hub becomes an artifact: at one commit, data files only, counted, without a trace of the download."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftjobs.names import Exit
from sftjobs.plan.configs import DatasetImportConfig
from sftjobs.plan.facts import resolve
from sftjobs.plan.make import make
from sftjobs.plan.types import Operation
from sftjobs.store.open import open_store
from tests.support.hub import COMMIT, dataset_hub
from tests.support.program_runner import Outcome, run_program
from tests.support.specs import make_facts, make_spec

REPOSITORY = "team/questions"


def parquet(texts: list[str]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": texts, "label": ["a"] * len(texts)}), out)
    return out.getvalue()


FILES = {
    "README.md": b"# Questions",
    "questions.py": b"raise SystemExit('a script is never run')",
    "data/train-00000-of-00002.parquet": parquet(["one", "two"]),
    "data/train-00001-of-00002.parquet": parquet(["three"]),
    "data/test-00000-of-00001.parquet": parquet(["four"]),
}


def imported(url: str, folder: Path, *, token: str | None = None, **config: Any) -> Outcome:
    wanted = DatasetImportConfig(repository=REPOSITORY, revision=COMMIT, **config)
    secrets = {} if token is None else {"hub_token": "MY_TOKEN"}
    extra = {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "home"), "MY_TOKEN": token or ""}
    operation = Operation(secrets=secrets)
    return run_program("jobs.data.import_dataset", wanted, {}, folder / "work", extra=extra, operation=operation)


def test_data_files_of_a_commit_are_brought_in_and_counted(tmp_path: Path) -> None:
    with dataset_hub(REPOSITORY, FILES, token="secret") as (url, asked):
        outcome = imported(url, tmp_path, token="secret")
    assert outcome.returncode == 0, outcome.stderr
    found = {path.relative_to(outcome.content).as_posix() for path in outcome.content.rglob("*") if path.is_file()}
    assert found == {name for name in FILES if name.endswith(".parquet")}
    assert outcome.counts["records"] == 3 and outcome.counts["files"] == 3
    assert not any("questions.py" in one for one in asked)
    assert "imported hf://datasets/team/questions: 3 records" in outcome.stdout


@pytest.mark.parametrize(
    ("files", "config", "message"),
    [
        ({"README.md": b"", "data.py": b""}, {}, "the repository has no file of a format that can be read"),
        (FILES, {"split": "dev"}, "the data set has no split 'validation'; it has test and train: set `split`"),
        ({"train.jsonl": b'{"a": 1}\n{"a":'}, {}, "the line ends in the middle of the record"),
    ],
)
def test_what_cannot_be_used(files: dict[str, bytes], config: dict[str, Any], message: str, tmp_path: Path) -> None:
    with dataset_hub(REPOSITORY, files) as (url, _):
        outcome = imported(url, tmp_path, **config)
    assert outcome.returncode == Exit.BAD_CONFIG, outcome.stderr
    assert message in outcome.stderr


def test_without_permission(tmp_path: Path) -> None:
    with dataset_hub(REPOSITORY, FILES, token="secret") as (url, _):
        outcome = imported(url, tmp_path)
    assert outcome.returncode == Exit.BAD_CONFIG
    assert "no such data set on the hub, or no permission: check the name and `data.hub_token`" in outcome.stderr


def test_a_plan_names_the_commit_and_reads_the_data_from_an_import_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("model", "held.jsonl"):
        (tmp_path / name).write_text("x")
    data = {
        "tasks": {"t": {"path": f"hf://datasets/{REPOSITORY}@main"}},
        "held_out": {"path": "held.jsonl"},
        "hub_token": {"env": "MY_TOKEN"},
    }
    spec = make_spec(data=data)
    with dataset_hub(REPOSITORY, FILES) as (url, _):
        monkeypatch.setenv("HF_ENDPOINT", url)
        facts = resolve(spec, tmp_path, open_store(str(tmp_path / "store"), tmp_path))
    assert facts.data_commits == {"task.t": COMMIT} and "task.t" not in facts.externals
    plan = make(spec, make_facts().model_copy(update={"data_commits": facts.data_commits}))
    stage = plan.stage("import-data1")
    assert stage.config == {"repository": REPOSITORY, "revision": COMMIT, "split": None}
    assert stage.operation.secrets == {"hub_token": "MY_TOKEN"}
    assert plan.stage("data").inputs["task.t"].stage == "import-data1"
    assert json.loads(plan.model_dump_json())["stages"][0]["name"] == "import-data1"
