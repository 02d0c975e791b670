"""The train program as processes: signals, exit codes, ranks."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.train.__main__ import run
from sftjobs import names
from sftjobs.errors import SftError
from sftjobs.names import Exit
from sftjobs.plan.configs import TrainConfig
from sftjobs.plan.types import Operation, Resources
from sftjobs.spec.prompt import PromptSpec
from tests.support.disks import small_file_system
from tests.support.program_runner import Outcome, run_here, start_program
from tests.support.training import losses, train_config, training_data, tree

DEADLINE_S = 180


def finish(process: "subprocess.Popen[str]", work: Path) -> Outcome:
    stdout, stderr = process.communicate(timeout=DEADLINE_S)
    return Outcome(process.returncode, stdout, stderr, work)


def test_term_saves_at_a_step_edge_and_exits_20(base: Path, tmp_path: Path) -> None:
    data = training_data(tmp_path / "data")
    config = train_config(epochs=900.0)  # longer than the test can take
    work = tmp_path / "work"
    process = start_program("jobs.train", config, {"model": base, "data": data}, work)
    deadline = time.monotonic() + DEADLINE_S
    while '"train"' not in (work / "progress.jsonl").read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    outcome = finish(process, work)
    assert outcome.returncode == Exit.STOPPED == 20, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stderr.startswith("stopped on request: saved after step")
    done = outcome.progress[-1]["step"]
    assert [path.name for path in outcome.checkpoints.iterdir()] == [names.step_folder(done)]
    assert [path.name for path in (outcome.checkpoints / names.step_folder(done)).iterdir()] == [names.rank_folder(0)]


def start_pair(config: TrainConfig, inputs: dict[str, Path], works: list[Path], **more: Any) -> list[Outcome]:
    """Two ranks on this machine, to their end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        start_program(
            "jobs.train",
            config,
            inputs,
            work,
            resources=Resources(processes_per_node=2),
            operation=Operation(checkpoint_every_s=0),
            extra={**together, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            **more,
        )
        for rank, work in enumerate(works)
    ]
    return [finish(process, work) for process, work in zip(processes, works, strict=True)]


@pytest.mark.parametrize("method", ["lora", "p_tuning", "prefix_tuning"])
def test_two_ranks_equal_one(method: str, base: Path, tmp_path: Path) -> None:
    """17 examples in batches of 8: in the last batch of one, a rank has nothing to do and must not wait for ever."""
    data = training_data(tmp_path / "data", examples=17)
    inputs = {"model": base, "data": data}
    whole = train_config(method, examples=17, micro_batch_size=8)
    alone = run_here(run, "jobs.train", whole, inputs, tmp_path / "alone")

    config = train_config(method, examples=17, micro_batch_size=2, gradient_accumulation_steps=2, world_size=2)
    works = [tmp_path / f"rank-{rank}" for rank in range(2)]
    outcomes = start_pair(config, inputs, works)
    assert [outcome.returncode for outcome in outcomes] == [0, 0], [outcome.stderr for outcome in outcomes]
    assert losses(outcomes[0]) == pytest.approx(losses(alone), rel=1e-5)
    assert outcomes[0].counts | {"final_loss": 0} == alone.counts | {"final_loss": 0}
    assert not any(outcomes[1].content.iterdir())
    for rank, outcome in enumerate(outcomes):
        assert len(list(outcome.checkpoints.glob(f"*/{names.rank_folder(rank)}/checkpoint.json"))) == config.steps


def test_two_ranks_see_the_same_dev_set_and_stop_together(base: Path, tmp_path: Path) -> None:
    """Each answers half of the dev set. Nothing is learned, so both must give up after the same look."""
    data = training_data(tmp_path / "data", examples=17)
    (data / "dev.jsonl").write_text((data / "train.jsonl").read_text())
    prompt = {"system": "s", "input": "{text}", "output": {"format": "free"}}
    (data / "prompt.json").write_text(PromptSpec.model_validate(prompt).model_dump_json())
    metric = {"name": "exact_match"}
    dev = {"every_steps": 1, "metric": metric, "max_new_tokens": 4, "patience": 2, "max_examples": 50}
    inputs = {"model": base, "data": data}
    settings = {"micro_batch_size": 2, "learning_rate": 1e-15, "warmup_steps": 0, "dev": dev, "keep": "best"}
    one = train_config(examples=17, gradient_accumulation_steps=4, **settings)
    alone = run_here(run, "jobs.train", one, inputs, tmp_path / "alone")
    two = train_config(examples=17, gradient_accumulation_steps=2, world_size=2, **settings)
    outcomes = start_pair(two, inputs, [tmp_path / f"rank-{rank}" for rank in range(2)])
    assert [outcome.returncode for outcome in outcomes] == [0, 0], [outcome.stderr for outcome in outcomes]
    seen, expected = (one.report("train")["dev"]["looks"] for one in (outcomes[0], alone))
    assert seen[0] == expected[0]
    assert outcomes[0].counts["steps"] == outcomes[0].report("train")["dev"]["stopped_early"]["at"]
    saved = [sorted(path.name for path in outcome.checkpoints.iterdir()) for outcome in outcomes]
    assert saved[0] == saved[1]
    # Started again from the last checkpoint: it was decided already, and no rank waits for another.
    for outcome in outcomes:
        part = next((outcome.checkpoints / saved[0][-1]).iterdir())
        target = tmp_path / "merged" / saved[0][-1] / part.name
        target.parent.mkdir(parents=True, exist_ok=True)
        part.rename(target)
    again = start_pair(
        two, inputs, [tmp_path / f"again-{rank}" for rank in range(2)], resume=tmp_path / "merged" / saved[0][-1]
    )
    assert [outcome.returncode for outcome in again] == [0, 0], [outcome.stderr for outcome in again]
    assert tree(again[0].content) == tree(outcomes[0].content)
    assert again[0].counts == outcomes[0].counts


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    with small_file_system(tmp_path / "disk", "256k") as path:
        yield path


@pytest.mark.parametrize(
    "folder, filler, what", [("checkpoints", 0, "checkpoint of step 1"), ("output", 180_000, "the tuned model")]
)
def test_a_full_disk_is_named_and_may_be_tried_again(
    folder: str, filler: int, what: str, base: Path, small_disk: Path, tmp_path: Path
) -> None:
    inputs = {"model": base, "data": training_data(tmp_path / "data")}
    (small_disk / folder).mkdir()
    (small_disk / "filler").write_bytes(bytes(filler))
    work = tmp_path / "work"
    work.mkdir()
    (work / folder).symlink_to(small_disk / folder)
    often = Operation(checkpoint_every_s=0 if folder == "checkpoints" else 120)
    with pytest.raises(SftError, match=f"{what}: cannot be written: the disk is full .0 MiB free") as caught:
        run_here(run, "jobs.train", train_config("full"), inputs, work, operation=often)
    assert caught.value.exit_code == Exit.INFRASTRUCTURE


def test_ranks_that_are_missing_are_noticed(base: Path, tmp_path: Path) -> None:
    """One process that believes in two ranks would silently train on half of the data."""
    config = train_config(micro_batch_size=2, world_size=2)
    with pytest.raises(SftError, match="1 of 2 ranks were started: check WORLD_SIZE") as caught:
        run_here(run, "jobs.train", config, {"model": base, "data": base}, tmp_path / "work")
    assert caught.value.exit_code == Exit.INFRASTRUCTURE
