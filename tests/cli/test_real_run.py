"""One real run and everything that a person may do to it: look at it, start it twice, damage it, repair it."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.artifact import checkpoints
from sftjobs.artifact.checkpoints import Place
from sftjobs.names import Exit
from sftjobs.store.folder import FolderStore
from tests.support.cli_run import RUN, CliRun
from tests.support.disks import small_file_system

READER_GONE = 141
DEADLINE_S = 120.0


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < end, "this did not happen in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, whole_model: Path) -> CliRun:
    """A finished run; the first attempt of it, and two more controllers, are looked at on the way."""
    sft = CliRun(tmp_path_factory.mktemp("real"), whole_model)
    with sft.start("run", "-o", "json") as process:
        wait_for(lambda: any(sft.folder.glob(".sftjobs/runs/*/attempts/data/0.intent.json")))
        same = sft("run")
        sft.write("other.yaml", RUN.replace("epochs: 1", "epochs: 2"))
        other = sft("run", "other.yaml")
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert json.loads(out)["outcome"] == "succeeded"
    assert " | global batch 8 | 1 step | 1 epoch | " in err, "the numbers are said when a stage begins"
    assert same.code == other.code == Exit.BUSY
    assert "is held by controller of run tickets-" in same.err
    assert "a run named 'tickets' with another plan is going on" in other.err
    assert "or give this run another name" in other.err
    return sft


def artifact_file(sft: CliRun, stage: str, name: str) -> Path:
    """A file of the committed artifact of a stage."""
    state = sft("status", "tickets", "-o", "json").json()
    found = next(one for one in state["stages"] if one["name"] == stage)
    prefix = names.stage_prefix(found["kind"], found["key"])
    commit = json.loads((sft.folder / ".sftjobs" / prefix / names.COMMIT).read_text("utf-8"))
    inside = names.incarnation_prefix(found["kind"], found["key"], commit["incarnation"])
    return sft.folder / ".sftjobs" / inside / names.CONTENT / name


def test_everything_is_cached_the_second_time(done: CliRun) -> None:
    answer = done("run")
    assert answer.code == 0
    assert "6 of 6 stages cached" in answer.out
    assert "95 % interval" in answer.out
    assert Path(answer.out.rpartition("report: ")[2].strip()).is_file()


def test_a_run_outlives_the_reader_of_its_progress(done: CliRun) -> None:
    answer = done.shell("sftjobs run 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    answer = done.shell("sftjobs run 2>/dev/null | true; exit ${PIPESTATUS[0]}")
    assert answer.code == READER_GONE


def test_every_verb_in_json(done: CliRun) -> None:
    assert done("run", "-o", "json").json()["outcome"] == "succeeded"
    assert done("status", "tickets", "-o", "json").json()["state"] == "succeeded"
    assert done("ls", "-o", "json").json()[0]["name"] == "tickets"
    assert "text" in done("report", "tickets", "-o", "json").json()
    assert [stage["cached"] for stage in done("explain", "-o", "json").json()] == [True] * 6


def test_names_that_do_not_exist(done: CliRun) -> None:
    for arguments, said in (
        (["status", "tikets"], "did you mean 'tickets'? Newest runs: tickets-"),
        (["logs", "tickets", "trian"], "stages: data, train, eval-base, baselines, eval-tuned, compare"),
        (["logs", "tickets", "train", "--attempt", "7"], "stage train has attempts 0 to 0, not 7"),
        (["discard", "tickets", "trian", "--yes"], "stages: data, train, eval-base, baselines, eval-tuned, compare"),
        (["discard", "tickets", "train"], "nothing was deleted: there is no terminal to ask on; give --yes"),
        (["cancel", "tickets"], "has ended already"),
        (["gc", "--drop", "tikets"], "did you mean 'tickets'?"),
        (["report", "tikets", "-o", "json"], "did you mean 'tickets'?"),
    ):
        answer = done(*arguments)
        assert answer.code == Exit.BAD_CONFIG, answer
        assert answer.out == ""
        assert said in answer.err


def test_a_damaged_artifact_names_its_file_and_the_way_out(done: CliRun) -> None:
    damaged = artifact_file(done, "eval-tuned", "predictions.jsonl")
    whole = damaged.read_bytes()
    damaged.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    answer = done("pull", "tickets", "predictions", "out")
    assert answer.code == Exit.INFRASTRUCTURE
    assert str(damaged.relative_to(done.folder / ".sftjobs")) in answer.err
    damaged.write_bytes(whole[:-1])
    answer = done("run")
    assert answer.code == Exit.RUN_FAILED
    assert str(damaged) in answer.err
    run_id = done("ls", "-o", "json").json()[0]["run_id"]
    assert f"`sftjobs discard {run_id} eval-tuned`" in answer.err
    assert done("discard", run_id, "eval-tuned", "--yes").code == 0
    answer = done("resume", "tickets")
    assert answer.code == 0, answer.err
    assert artifact_file(done, "eval-tuned", "predictions.jsonl").read_bytes() == whole, "made again, byte for byte"


def test_a_checkpoint_from_another_config(done: CliRun, tmp_path: Path) -> None:
    """Somebody copied it below the wrong key: it is refused, and nothing is trained from it."""
    state = done("status", "tickets", "-o", "json").json()
    key = state["stages"][1]["key"]
    run_id = state["run_id"]
    assert done("discard", run_id, "train", "--yes").code == 0
    part = tmp_path / names.step_folder(1) / names.rank_folder(0)
    part.mkdir(parents=True)
    header = {"format": 2, "key": "f" * 64, "step": 1, "world_size": 1, "history": [], "looks": []}
    (part / "checkpoint.json").write_text(json.dumps(header), "utf-8")
    store = FolderStore(done.folder / ".sftjobs")
    place = Place(store, "train", key, 1)
    checkpoints.upload_part(place, part.parent, 0, [0])
    checkpoints.commit(place, 1, world_size=1, nodes=1)
    answer = done("resume", run_id)
    assert answer.code == Exit.RUN_FAILED
    assert (
        "failed in stage train (checkpoint): checkpoint step-00000001 belongs to stage key ffffffffffff" in answer.err
    )
    assert "model, data or settings differ" in answer.err
    assert f"`sftjobs resume {run_id} --restart-stage train` deletes its checkpoints" in answer.err
    assert "(exit 11)" in done("logs", run_id, "train").out
    refused = done("resume", run_id, "--restart-stage", "training")
    assert refused.code == Exit.BAD_CONFIG
    assert "no stage 'training' in run" in refused.err
    again = done("resume", run_id, "--restart-stage", "train")
    assert again.code == 0, again.err
    assert "stage train begins at the beginning" in again.err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_file_system(tmp_path / "disk", "2m") as path:
        yield path


def test_a_full_disk_in_the_middle_of_a_stage(sft: CliRun, small_disk: Path) -> None:
    """The run waits with a message, and goes on once there is room."""
    sft.write("run.yaml", RUN + f"store: {small_disk}\nretries: {{backoff_s: 0.5}}\n")
    said = sft.folder / "stderr"
    with sft.start("run", stderr=said) as process:
        wait_for(lambda: any(small_disk.glob("runs/*/attempts/data/0.intent.json")))
        filler = small_disk.parent / "disk" / "filler"
        fill(filler)
        wait_for(lambda: "the disk is full" in said.read_text("utf-8"))
        filler.unlink()
        wait_for(lambda: "data           done" in said.read_text("utf-8"))
        process.send_signal(2)
        process.send_signal(2)
        process.communicate(timeout=DEADLINE_S)
    text = said.read_text("utf-8")
    assert "Traceback" not in text
    assert process.returncode == 130
    assert "make room" in text


def fill(path: Path) -> None:
    """Until not a byte is free."""
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
