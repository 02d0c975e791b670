"""Trackers get what metrics.jsonl gets, and can do a training no harm."""

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from jobs.train.__main__ import run
from jobs.train.trackers import PACKAGES, Tracker, check_trackers
from sftjobs import names
from sftjobs.errors import DataError
from sftjobs.plan.types import Operation
from sftjobs.program import Stopped
from tests.support.program_runner import Outcome, run_here
from tests.support.tiny import tiny_model
from tests.support.training import stop_after, train_config, training_data, tree

DEV = {"every_steps": 5, "metric": None, "max_new_tokens": 4, "patience": None, "max_examples": 50}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    data = training_data(tmp_path_factory.mktemp("data"))
    (data / "dev.jsonl").write_text((data / "train.jsonl").read_text())
    return {"model": tiny_model(tmp_path_factory.mktemp("base")), "data": data}


def train(inputs: dict[str, Path], work: Path, report_to: list[str], **more: Any) -> Outcome:
    operation = Operation(report_to=report_to)
    return run_here(run, "jobs.train", train_config(dev=DEV), inputs, work, operation=operation, **more)


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_missing_library_is_named_before_anything_is_read(name: str, tmp_path: Path) -> None:
    if find_spec(PACKAGES[name]) is not None:
        pytest.skip(f"{name} is installed here")
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    with pytest.raises(DataError, match=f"train.report_to: {name} is not installed.*pip install {name}"):
        train({"model": nothing, "data": nothing}, tmp_path / "work", [name])


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(DataError, match="'neptune' is not one of mlflow, tensorboard, wandb"):
        check_trackers(["neptune"])


class Failing(TrainerCallback):
    """A server that goes away after some values."""

    def __init__(self, after: int) -> None:
        self.seen: list[tuple[int, dict[str, float]]] = []
        self._after = after

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if len(self.seen) == self._after:
            raise ConnectionError("the server is gone")
        self.seen.append((state.global_step, logs or {}))


def test_a_tracker_that_fails_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callback = Failing(after=2)
    tracker = Tracker("mlflow", lambda: callback)
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    tracker.begin(arguments, TrainerState(), None, "run-train")
    for step in range(1, 6):
        tracker.log({"loss": float(step)}, step)
    tracker.close(0)
    assert callback.seen == [(1, {"loss": 1.0}), (2, {"loss": 2.0})]
    said = [line for line in capsys.readouterr().out.splitlines() if "tracker" in line]
    assert said == ["tracker mlflow failed, and gets nothing more: ConnectionError: the server is gone"]
    assert arguments.run_name != "run-train"


def events(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder))
    reader.Reload()
    return {tag: {event.step: event.value for event in reader.Scalars(tag)} for tag in reader.Tags()["scalars"]}


def test_tensorboard_gets_every_step_and_look(inputs: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    plain = train(inputs, tmp_path / "plain", [])
    with pytest.raises(Stopped):
        train(inputs, tmp_path / "stopped", ["tensorboard"], change=stop_after(7))
    resume = tmp_path / "stopped" / "checkpoints" / names.step_folder(7)
    outcome = train(inputs, tmp_path / "work", ["tensorboard"], resume=resume)
    assert tree(outcome.content) == tree(plain.content)
    assert outcome.counts == plain.counts
    lines = [json.loads(line) for line in (outcome.info / "metrics.jsonl").read_text().splitlines()]
    seen = events(outcome.info / "tensorboard")
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    looks = {line["step"]: line["dev_loss"] for line in lines if "dev_loss" in line}
    assert seen["train/loss"] == pytest.approx(losses)
    assert seen["eval/loss"] == pytest.approx(looks)
    assert set(seen["train/learning_rate"]) == set(range(1, 13))
    assert max(events(tmp_path / "stopped" / "output" / "info" / "tensorboard")["train/loss"]) == 7


@pytest.mark.filterwarnings("ignore")  # of the libraries of mlflow
def test_mlflow_gets_a_run_of_its_own(inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setitem(os.environ, "MLFLOW_TRACKING_URI", uri)
    train(inputs, tmp_path / "work", ["mlflow"])
    client = mlflow.MlflowClient(uri)
    found = client.search_runs(["0"])
    assert [one.info.run_name for one in found] == ["test-run-train"]
    assert len(client.get_metric_history(found[0].info.run_id, "loss")) == 12
    assert [one.step for one in client.get_metric_history(found[0].info.run_id, "eval_loss")] == [0, 5, 10, 12]


@pytest.mark.filterwarnings("ignore")  # of the libraries of wandb
def test_wandb_hears_the_end(inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a training that was stopped: a run without an end is shown as running, and later as crashed."""
    wandb = pytest.importorskip("wandb")
    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}.items():
        monkeypatch.setitem(os.environ, name, value)
    with pytest.raises(Stopped):
        train(inputs, tmp_path / "stopped", ["wandb"], change=stop_after(7))
    assert wandb.run is None
    train(inputs, tmp_path / "work", ["wandb"])
    assert wandb.run is None
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 2
