"""A whole run that trains on two tasks in three ways: one data stage, all models compared task by task."""

import json
import random
from pathlib import Path

from tests.support.whole_run import WholeRun, make_inputs, record

TASKS = {"money": ("balance", "transfer"), "other": ("card_lost", "weather")}
DATA = """\
  tasks:
    money: {path: money.jsonl, held_out: money-held.jsonl}
    other: {path: other.jsonl, held_out: other-held.jsonl}
"""
MULTI_TASK = "multi_task: {plans: [mixed, separate, dual_stage], specialised: [money], specialised_share: 0.1}"


def test_plans_are_trained_side_by_side_and_compared_on_each_task(tmp_path: Path) -> None:
    whole = WholeRun(make_inputs(tmp_path / "run"))
    choose = random.Random(5)
    for task, labels in TASKS.items():
        for name, count in ((task, 60), (f"{task}-held", 24)):
            lines = [json.dumps(record(choose, f"{name}{index}", labels)) for index in range(count)]
            (whole.folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    whole.change("  tasks:\n    intent: {path: train.jsonl}\n  held_out: {path: held_out.jsonl}\n", DATA)
    whole.change("epochs: 20, max_steps: 60", f"epochs: 3, {MULTI_TASK}")
    shown = whole.cli("run")
    assert "plan dual_stage" in shown
    done = whole.digests()
    # the first part of dual_stage is the training on its only specialised task: it is done once
    assert done["train-dual-1"] == done["train-sep-1"]
    trained = {stage for stage in whole.endings() if stage.startswith("train")}
    assert len(trained) == len({"train", "train-sep-1", "train-sep-2", "train-dual-2"})

    report = whole.json("report", "whole")
    plans = report["comparison"]["plans"]
    assert plans["tasks"] == {"money": 24, "other": 24}
    own = {task: plans["transfer"][task][task]["difference"] for task in TASKS}
    across = [plans["transfer"]["money"]["other"]["difference"], plans["transfer"]["other"]["money"]["difference"]]
    assert min(own.values()) > max(across), "a task is learned from its own examples"
    drawn = {name: {row["task"] for row in one["mixture"]} for name, one in report["trainings"].items()}
    assert drawn["train-sep-2"] == {"other"}
    assert drawn["train"] == drawn["train-dual-2"] == {"money", "other"}
    assert "verified" in whole.cli("pull", "whole", "model", str(tmp_path / "other"), "--stage", "train-sep-2")

    whole.change("plans: [mixed, separate, dual_stage]", "plans: [dual_stage]")
    whole.change("name: whole", "name: second")
    whole.cli("run")
    assert set(whole.endings("second")) == {"compare"}, "everything else was done by the other run"
    said = whole.cli("pull", "second", "adapter", str(tmp_path / "adapter"), code=10)
    assert "belongs to the model of an earlier training" in said
    assert "verified" in whole.cli("pull", "second", "model", str(tmp_path / "model"))
