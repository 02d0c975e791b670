"""Inputs: every source, every way in which one can be wrong."""

from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.agent.inputs import fetch_inputs
from sftjobs.artifact import stages
from sftjobs.artifact.digest import artifact_digest, file_entries
from sftjobs.errors import DataError
from sftjobs.names import Exit
from sftjobs.plan.types import ArtifactRef, External, FinishedInput, Manifest, StagePlan
from sftjobs.runs import read_events
from sftjobs.store.base import Store
from sftjobs.store.folder import FolderStore
from tests.support.agent_runner import RUN_ID, AgentBench, external_file

KEY = "0" * 64


def artifact(bench: AgentBench, files: dict[str, str]) -> ArtifactRef:
    """Commit an artifact of the data stage by hand."""
    incarnation = stages.claim(bench.store, "data", KEY)
    prefix = names.incarnation_prefix("data", KEY, incarnation) + names.CONTENT
    for path, text in files.items():
        bench.store.create(f"{prefix}/{path}", text.encode())
    entries = file_entries(Path(bench.store.uri, prefix))
    manifest = Manifest(
        kind="data", key=KEY, incarnation=incarnation, digest=artifact_digest(entries), content=entries, info=[],
        inputs={}, versions={}, counts={},
    )  # fmt: skip
    return stages.ref(stages.commit(bench.store, manifest), manifest)


def no_s3(uri: str) -> Store:
    raise AssertionError(uri)


def fetch(bench: AgentBench, item: FinishedInput, open_uri=no_s3) -> dict[str, str]:
    """Fetch one input; returns the files that the program would see."""
    plan: StagePlan = bench.plan(inputs={"x": item})
    folder = bench.path / "inputs"
    folder.mkdir()
    fetch_inputs(bench.store, open_uri, plan, folder)
    found = folder / "x"
    return {p.relative_to(found).as_posix(): p.read_text() for p in found.rglob("*") if p.is_file()}


def folder_input(path: Path, source: str) -> FinishedInput:
    entries = file_entries(path)
    return FinishedInput(external=External(source=source, digest=artifact_digest(entries), files=entries))


@pytest.mark.parametrize(
    ("folder", "include", "seen"),
    [
        ("", [], {"a.txt": "1", "model/w.bin": "2", "model/sub/t.json": "3"}),
        ("model", [], {"w.bin": "2", "sub/t.json": "3"}),
        ("model", ["*.bin"], {"w.bin": "2"}),
        ("", ["model/*.json", "a.*"], {"a.txt": "1", "model/sub/t.json": "3"}),
    ],
)
def test_an_artifact_is_seen_through_folder_and_globs(
    bench: AgentBench, folder: str, include: list[str], seen: dict[str, str]
) -> None:
    ref = artifact(bench, {"a.txt": "1", "model/w.bin": "2", "model/sub/t.json": "3"})
    assert fetch(bench, FinishedInput(artifact=ref, folder=folder, include=include)) == seen


def test_globs_that_match_nothing_are_an_error(bench: AgentBench) -> None:
    ref = artifact(bench, {"a.txt": "1"})
    with pytest.raises(DataError, match=r"input x: the artifact has no file under '.' that matches \*.bin"):
        fetch(bench, FinishedInput(artifact=ref, include=["*.bin"]))


def test_a_local_folder_is_linked(bench: AgentBench, tmp_path: Path) -> None:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "sub" / "w.bin").write_text("w")
    item = folder_input(tmp_path / "model", str(tmp_path / "model"))
    assert fetch(bench, item) == {"config.json": "{}", "sub/w.bin": "w"}
    assert (tmp_path / "inputs" / "x" / "config.json").is_symlink()


def test_a_folder_of_one_file_is_a_folder(bench: AgentBench, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    assert fetch(bench, folder_input(tmp_path / "model", str(tmp_path / "model"))) == {"config.json": "{}"}


def test_a_local_file_that_changed_is_refused(bench: AgentBench, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("1")
    item = external_file(path)
    path.write_text("2")
    with pytest.raises(DataError, match=r"input x: .*a.jsonl changed since the run was planned; plan the run again"):
        fetch(bench, item)


def test_a_local_file_that_is_gone_is_refused(bench: AgentBench, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("1")
    item = external_file(path)
    path.unlink()
    with pytest.raises(DataError, match=r"a.jsonl: cannot be read: No such file or directory; plan the run again"):
        fetch(bench, item)


def test_pushed_inputs_come_from_the_store(bench: AgentBench, tmp_path: Path) -> None:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "model" / "sub" / "w.bin").write_text("w")
    (tmp_path / "model" / "v.bin").write_text("w")
    item = folder_input(tmp_path / "model", "store:abc/model/")
    assert item.external is not None
    for entry in item.external.files:
        bench.store.create(names.pushed_input(entry.sha256), b"w")
    assert fetch(bench, item) == {"sub/w.bin": "w", "v.bin": "w"}


def test_a_pushed_input_that_is_damaged_is_refused(bench: AgentBench, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("1")
    local = external_file(path).external
    assert local is not None
    bench.store.create(names.pushed_input(local.digest), b"2")
    item = FinishedInput(external=local.model_copy(update={"source": f"store:{local.digest}/a.jsonl"}))
    with pytest.raises(DataError, match=rf"input x: store:{local.digest}/a.jsonl changed since the run was planned"):
        fetch(bench, item)


@pytest.mark.parametrize("single", [True, False])
def test_another_bucket_is_opened_by_its_uri(bench: AgentBench, tmp_path: Path, single: bool) -> None:
    bucket = tmp_path / "bucket" / "data"
    bucket.mkdir(parents=True)
    (bucket / "a.jsonl").write_text("1")
    if single:
        local = external_file(bucket / "a.jsonl").external
        assert local is not None
        item = FinishedInput(external=local.model_copy(update={"source": "s3://bucket/data/a.jsonl"}))
    else:
        item = folder_input(bucket, "s3://bucket/data")
    opened: list[str] = []

    def open_uri(uri: str) -> Store:
        opened.append(uri)
        return FolderStore(tmp_path / uri.removeprefix("s3://"))

    assert fetch(bench, item, open_uri) == {"a.jsonl": "1"}
    assert opened == ["s3://bucket/data"]


def test_an_agent_with_a_damaged_input_names_file_and_way_out(bench: AgentBench) -> None:
    ref = artifact(bench, {"source.txt": "text"})
    path = Path(bench.store.uri, names.incarnation_prefix("data", KEY, 1), "content/source.txt")
    path.write_text("tixt")
    agent = bench.run(bench.plan(inputs={"source": FinishedInput(artifact=ref, stage="made-it")}))
    assert agent.process.returncode == Exit.BAD_CONFIG
    assert "content/source.txt is damaged" in agent.termination.message
    assert f"sftjobs discard {RUN_ID} made-it" in agent.termination.message


def test_an_agent_skips_a_damaged_checkpoint(bench: AgentBench, tmp_path: Path) -> None:
    plan = bench.plan({"steps": 6, "checkpoint_every": 2})
    first = bench.run(plan, extra={"TEST_AT_5": "raise:it broke"})
    newest = first.termination.checkpoint
    assert newest == 4
    prefix = names.checkpoint_prefix(plan.kind, plan.key, 1, newest)
    Path(bench.store.uri, prefix, names.rank_folder(0), "state.json").write_text("{}")
    second = bench.run(plan, attempt=1)
    assert second.process.returncode == Exit.COMMITTED
    assert "checkpoint of step 4 is skipped, another one will be used" in bench.log(plan, attempt=1)
    ((_, event),) = read_events(bench.store, RUN_ID)
    reason = f"{prefix}{names.rank_folder(0)}/state.json is damaged"
    assert event.kind == "checkpoint-skipped"
    assert event.fields == {"stage": "train", "attempt": 1, "step": 4, "reason": reason}
