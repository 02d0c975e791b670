"""Trainings that go wrong are stopped, and noisy ones are not."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.train.__main__ import run
from jobs.train.checkpoint import Look, Point
from jobs.train.guards import MARGIN, WINDOW, Guards
from sftjobs import names
from sftjobs.errors import DataError
from sftjobs.names import Exit
from sftjobs.plan.configs import TrainConfig
from sftjobs.plan.types import Operation
from tests.support.program_runner import Outcome, run_here
from tests.support.tiny import tiny_model
from tests.support.training import train_config, training_data

DEV = {"every_steps": 4, "metric": None, "max_new_tokens": 4, "patience": None, "max_examples": 50}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = training_data(tmp_path_factory.mktemp("data"))
    (folder / "dev.jsonl").write_text((folder / "train.jsonl").read_text())
    return folder


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A base model that has something to lose: trained until it knows its answers."""
    work = tmp_path_factory.mktemp("knowing")
    base = tiny_model(work / "base", hidden=64)
    config = train_config("full", epochs=25.0, learning_rate=5e-3)
    return train(config, base, data, work / "work").content / "model"


def train(config: TrainConfig, base: Path, data: Path, work: Path, **more: Any) -> Outcome:
    return run_here(run, "jobs.train", config, {"model": base, "data": data}, work, **more)


@pytest.mark.parametrize("method, rate", [("full", 1e3), ("lora", 10.0)])
def test_a_rate_far_too_high_is_said(method: str, rate: float, knowing: Path, data: Path, tmp_path: Path) -> None:
    # Batches that tell by themselves where the loss began: how exactly it goes wrong is chaos.
    config = train_config(method, epochs=8.0, learning_rate=rate, warmup_steps=3, micro_batch_size=16)
    with pytest.raises(DataError, match=r"training (diverged|step \d+: )") as caught:
        train(config, knowing, data, tmp_path, operation=Operation(checkpoint_every_s=0))
    assert caught.value.exit_code == Exit.BAD_CONFIG
    assert "nothing was exported" in str(caught.value).lower()
    assert "train.learning_rate" in str(caught.value)
    if "diverged" in str(caught.value):
        assert "the last good checkpoint is that of step " in str(caught.value)
        assert f"e.g. to {rate / 10:g}" in str(caught.value)
    assert not any((tmp_path / "output" / names.CONTENT).iterdir())
    assert (tmp_path / "checkpoints" / names.step_folder(1)).is_dir()


def test_a_worse_dev_loss_is_said(knowing: Path, data: Path, tmp_path: Path) -> None:
    """The last of few steps destroys the model: no loss of a step is measured after it, but the dev loss is."""
    config = train_config("full", steps=2, learning_rate=1.0, warmup_steps=1, schedule="constant", dev=DEV)
    with pytest.raises(DataError, match=r"made the model worse: its dev loss is \S+ nats per token after step 2, 0\."):
        train(config, knowing, data, tmp_path)


def test_a_good_training_is_left_alone(knowing: Path, data: Path, tmp_path: Path) -> None:
    """One example per step: the noisiest losses there are."""
    config = train_config("full", micro_batch_size=1, learning_rate=1e-3, dev=DEV | {"every_steps": 20})
    assert train(config, knowing, data, tmp_path).counts["steps"] == 44


def history(losses: list[float]) -> list[Point]:
    return [
        Point(step=number, loss=loss, learning_rate=1e-3, tokens_per_s=1.0) for number, loss in enumerate(losses, 1)
    ]


def guards(batch: int) -> Guards:
    return Guards(train_config(micro_batch_size=batch), vocabulary=50_000)


def test_what_is_far_above_the_start_for_long() -> None:
    watch = guards(32)
    assert watch.diverged(history([2.0] + [9.0] * (WINDOW - 1)), ended=False) is None
    found = watch.diverged(history([2.0, 1.5] + [9.0] * WINDOW), ended=False)
    assert found is not None
    assert found.step == 3
    assert watch.diverged(history([2.0] + [9.0] * (WINDOW - 1) + [2.0 + MARGIN]), ended=True) is None
    assert watch.diverged(history([2.0]), ended=True) is None
    assert watch.diverged(history([2.0, 9.0]), ended=True) is not None


def test_small_batches_may_begin_with_an_easy_example() -> None:
    """Nine of ten losses are 4 before anything is learned; the first happens to be easy."""
    noisy = [0.1] + [4.0] * 14
    assert guards(1).diverged(history(noisy), ended=True) is None
    assert guards(1).diverged(history([0.1, 4.0] + [30.0] * WINDOW), ended=False) is not None
    assert guards(1).diverged(history([0.1, 30.0] + [30.0] * WINDOW), ended=False) is not None


def test_a_training_may_go_wrong_among_the_losses_that_tell_where_it_began() -> None:
    assert guards(4).diverged(history([0.02, 0.02, 5.8, 30.0] + [4.0] * WINDOW), ended=True) is not None


def test_a_better_score_outweighs_the_loss() -> None:
    def look(step: int, loss: float, score: float | None) -> Look:
        return Look(step=step, loss=loss, metric=None if score is None else "accuracy", score=score)

    watch = guards(32)
    watch.check_kept([look(0, 1.0, 0.3), look(9, 3.0, 0.8)], 9, [])
    watch.check_kept([look(0, 3.0, None), look(9, 3.6, None)], 9, [])
    with pytest.raises(DataError, match="last good checkpoint is that of step 4"):
        watch.check_kept([look(0, 1.0, 0.3), look(9, 3.0, 0.2)], 9, [4, 9])


def test_a_resumed_training_diverges_at_the_same_step(knowing: Path, data: Path, tmp_path: Path) -> None:
    config = train_config("lora", epochs=8.0, learning_rate=10.0, warmup_steps=3, micro_batch_size=16)
    with pytest.raises(DataError) as first:
        train(config, knowing, data, tmp_path / "a", operation=Operation(checkpoint_every_s=0))
    last = max((tmp_path / "a" / "checkpoints").iterdir())
    with pytest.raises(DataError) as second:
        train(config, knowing, data, tmp_path / "b", resume=last)
    assert str(second.value).split(". Nothing")[0] == str(first.value).split(". Nothing")[0]
    assert len(json.loads((last / names.rank_folder(0) / "checkpoint.json").read_text())["history"]) > 3
