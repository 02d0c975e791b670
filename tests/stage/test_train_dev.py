"""Looks at the dev set: what they see, that they disturb nothing, and what follows from them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.lm.load import load_model
from jobs.lm.render import Renderer, load_tokenizer
from jobs.train.__main__ import run
from jobs.train.checkpoint import Look
from jobs.train.examples import read_training_set
from jobs.train.keep import best, stops_early, without_gain
from sftjobs import names
from sftjobs.errors import DataError
from sftjobs.plan.configs import DevConfig, MetricConfig, TrainConfig
from sftjobs.plan.types import Operation
from sftjobs.program import Stopped
from sftjobs.spec.prompt import PromptSpec
from tests.support.program_runner import Outcome, run_here
from tests.support.training import ANSWERS, losses, stop_after, train_config, training_data, tree

EXACT = MetricConfig(name="exact_match")


def dev_config(**changes: Any) -> DevConfig:
    values = {"every_steps": 3, "metric": None, "max_new_tokens": 4, "patience": None, "max_examples": 200}
    return DevConfig.model_validate(values | changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dev examples that are other messages with the same kinds of answers."""
    folder = training_data(tmp_path_factory.mktemp("data"))
    lines = (training_data(folder / "more", examples=31) / "train.jsonl").read_text().splitlines()[22:]
    (folder / "dev.jsonl").write_text("\n".join(lines) + "\n")
    prompt = PromptSpec.model_validate({"system": "s", "input": "{text}", "output": {"format": "free"}})
    (folder / "prompt.json").write_text(prompt.model_dump_json())
    return folder


def train(config: TrainConfig, base: Path, data: Path, work: Path, **more: Any) -> Outcome:
    return run_here(run, "jobs.train", config, {"model": base, "data": data}, work, **more)


def looks(outcome: Outcome) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = outcome.report("train")["dev"]["looks"]
    return found


def plain_loss(model: Path, base: Path, path: Path) -> float:
    """Mean loss per supervised token, one example after another, with the model's own loss."""
    examples = read_training_set(path, Renderer(load_tokenizer(base)), 512)
    opened = load_model(model)
    total = 0.0
    for ids, labels, count in zip(examples.token_ids, examples.labels, examples.supervised, strict=True):
        with torch.no_grad():
            total += opened(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss.item() * count
    return total / sum(examples.supervised)


def test_looks_see_the_mean_loss_before_and_after(base: Path, data: Path, tmp_path: Path) -> None:
    config = train_config("full", dev=dev_config(every_steps=5))
    outcome = train(config, base, data, tmp_path)
    assert [look["step"] for look in looks(outcome)] == [0, 5, 10, 12]
    assert looks(outcome)[0]["loss"] == pytest.approx(plain_loss(base, base, data / "dev.jsonl"), rel=1e-5)
    after = plain_loss(outcome.content / "model", base, data / "dev.jsonl")
    assert looks(outcome)[-1]["loss"] == pytest.approx(after, rel=1e-5)
    assert after < looks(outcome)[0]["loss"]
    lines = [json.loads(line) for line in (outcome.info / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "dev_loss" in line] == [0, 5, 10, 12]
    assert [line["phase"] for line in outcome.progress].count("dev") == 4 * 3


@pytest.mark.parametrize("method, precision", [("lora", "float32"), ("full", "float32"), ("full", "bfloat16")])
def test_looks_disturb_nothing(method: str, precision: str, base: Path, data: Path, tmp_path: Path) -> None:
    dropout = {"lora": {"rank": 4, "alpha": 8, "dropout": 0.2, "target": "attention"}} if method == "lora" else {}
    settings: dict[str, Any] = {"precision": precision, **dropout}
    without = train(train_config(method, **settings), base, data, tmp_path / "without")
    dev = dev_config(every_steps=1, metric=EXACT)
    with_looks = train(train_config(method, dev=dev, **settings), base, data, tmp_path / "with")
    assert len(looks(with_looks)) == 13
    assert tree(with_looks.content) == tree(without.content)
    assert losses(with_looks) == losses(without)


def contrary(data: Path, folder: Path) -> Path:
    """The training messages as dev set, each with the answer of the next."""
    folder.mkdir()
    lines = [json.loads(line) for line in (data / "train.jsonl").read_text().splitlines()]
    answers = [line["messages"][-1]["content"] for line in lines]
    (folder / "train.jsonl").write_text((data / "train.jsonl").read_text())
    for line, answer in zip(lines, answers[1:] + answers[:1], strict=True):
        line["messages"][-1]["content"] = answer
    (folder / "dev.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_some_dev_examples_are_chosen_by_the_seed(base: Path, data: Path, tmp_path: Path) -> None:
    def first(seed: int, name: str) -> float:
        config = train_config("lora", dev=dev_config(max_examples=3), steps=1, seed=seed)
        loss: float = looks(train(config, base, data, tmp_path / name))[0]["loss"]
        return loss

    assert first(1, "a") == first(1, "b") != first(2, "c")


def test_the_best_look_is_kept_through_a_stop(base: Path, data: Path, tmp_path: Path) -> None:
    """Dev answers are wrong ones: the dev loss falls while their form is learned, and rises when training knows better.

    Stops come before, at and after the best step.
    """
    data = contrary(data, tmp_path / "data")
    config = train_config("full", epochs=15.0, learning_rate=0.01, schedule="constant", keep="best", dev=dev_config())
    undisturbed = train(config, base, data, tmp_path / "undisturbed")
    kept = undisturbed.counts["kept_step"]
    best_look = min(looks(undisturbed)[1:], key=lambda look: look["loss"])
    assert kept == best_look["step"] < config.steps
    assert undisturbed.counts["dev_loss"] == best_look["loss"]
    report = undisturbed.report("train")
    assert report["kept_step"] == kept
    assert report["kept_because"].startswith("best of 30 looks at the dev set: dev loss ")
    found = plain_loss(undisturbed.content / "model", base, data / "dev.jsonl")
    assert found == pytest.approx(best_look["loss"], rel=1e-5)
    resume, work = None, tmp_path
    for step in (kept - 1, kept, kept + 2, config.steps):
        work = tmp_path / f"until-{step}"
        with pytest.raises(Stopped, match=f"saved after step {step} of"):
            train(config, base, data, work, resume=resume, change=stop_after(step))
        resume = work / "checkpoints" / names.step_folder(step)
    resumed = train(config, base, data, tmp_path / "resumed", resume=resume)
    assert tree(resumed.content) == tree(undisturbed.content)
    assert resumed.counts == undisturbed.counts
    assert looks(resumed) == looks(undisturbed)
    assert looks(train(config.model_copy(update={"keep": "last"}), base, data, tmp_path / "last")) == looks(resumed)


def test_patience_ends_the_training(base: Path, data: Path, tmp_path: Path) -> None:
    """An update that changes nothing never makes a better look."""
    config = train_config("full", learning_rate=1e-12, dev=dev_config(patience=2), schedule="constant")
    often = Operation(checkpoint_every_s=0)
    outcome = train(config, base, data, tmp_path / "a", operation=often)
    assert [look["step"] for look in looks(outcome)] == [0, 3, 6]
    assert outcome.counts["steps"] == 6
    assert outcome.counts["examples_seen"] == 22  # the first epoch: its last batch is smaller
    assert outcome.report("train")["dev"]["stopped_early"] == {"at": 6, "of": 12, "patience": 2}
    assert "no look was better than the one before the first step" not in outcome.report("train")["kept_because"]
    for step in (3, 6):  # before it was decided, and after
        checkpoint = outcome.checkpoints / names.step_folder(step)
        resumed = train(config, base, data, tmp_path / f"from-{step}", resume=checkpoint)
        assert tree(resumed.content) == tree(outcome.content)
        assert resumed.counts == outcome.counts
    assert not (outcome.checkpoints / names.step_folder(7)).exists()


def test_answers_are_scored(base: Path, tmp_path: Path) -> None:
    """Few answers, learned by heart: at last every dev answer is the expected one."""
    data = training_data(tmp_path / "data")
    (data / "dev.jsonl").write_text((data / "train.jsonl").read_text())
    labels = dict.fromkeys(ANSWERS, "")
    prompt = {"system": "s", "input": "{text}", "labels": labels, "output": {"format": "label"}}
    (data / "prompt.json").write_text(PromptSpec.model_validate(prompt).model_dump_json())
    dev = dev_config(every_steps=60, metric=EXACT, max_new_tokens=24)
    config = train_config("full", epochs=60.0, learning_rate=5e-3, dev=dev, keep="best")
    outcome = train(config, base, data, tmp_path / "work")
    scores = [look["score"] for look in looks(outcome)]
    assert scores[0] == 0.0
    assert max(scores) > 0.5
    at = looks(outcome)[scores.index(max(scores))]
    assert outcome.counts["kept_step"] >= at["step"]
    assert f"exact_match {max(scores):.4g}" in outcome.report("train")["kept_because"]


def test_a_dev_set_that_cannot_be_used(base: Path, data: Path, tmp_path: Path) -> None:
    only = training_data(tmp_path / "only")
    with pytest.raises(DataError, match=r"dev.jsonl: the data stage left no such file"):
        train(train_config(dev=dev_config()), base, only, tmp_path / "a")
    (only / "dev.jsonl").write_text((data / "dev.jsonl").read_text())
    with pytest.raises(DataError, match=r"prompt.json: not the prompt"):
        train(train_config(dev=dev_config(metric=EXACT)), base, only, tmp_path / "b")
    prompt = {"system": "s", "input": "{text}", "labels": {"weather": ""}, "output": {"format": "label"}}
    (only / "prompt.json").write_text(PromptSpec.model_validate(prompt).model_dump_json())
    with pytest.raises(DataError, match=r"dev example intent-22 .*not in the prompt's output format"):
        train(train_config(dev=dev_config(metric=EXACT)), base, only, tmp_path / "c")


def look(step: int, loss: float, score: float | None = None, lower: bool = False) -> Look:
    return Look(step=step, loss=loss, metric=None if score is None else "m", score=score, lower_is_better=lower)


def test_which_look_is_best() -> None:
    assert best([]) is None
    assert best([look(0, 0.1)]) is None
    falling = [look(0, 3.0), look(5, 2.0), look(10, 1.0), look(15, 1.0), look(20, 1.5)]
    assert best(falling) == falling[2]
    assert without_gain(falling) == 2
    assert [stops_early(falling, patience) for patience in (None, 1, 2, 3)] == [False, True, True, False]
    scored = [look(0, 1.0, 0.5), look(5, 9.0, 0.7), look(10, 2.0, 0.7), look(15, 0.1, 0.6)]
    assert best(scored) == scored[2]
    errors = [look(0, 1.0, 5.0, True), look(5, 9.0, 2.0, True), look(10, 2.0, 3.0, True)]
    assert best(errors) == errors[1]
    nothing = Look(step=5, loss=0.1, metric="m")
    assert best([look(0, 1.0, 0.0), nothing, look(10, 2.0, 0.0)]) == look(10, 2.0, 0.0)
