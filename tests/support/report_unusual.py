"""Reports of unusual runs: many labels with long names, Chinese, one model only, a failed run, a metric of numbers."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.answers.metrics import BUILT_IN
from jobs.answers.parse import parser
from jobs.answers.predict import Prediction, predict
from sftjobs.canonical import digest
from sftjobs.report.build import Report, StageReport, build
from sftjobs.spec.prompt import OutputSpec, PromptSpec
from tests.support.report_data import (
    RUN,
    compared,
    data_section,
    evaluation,
    finished_run,
    predictions,
    stage,
    train_section,
    training_file,
)

CHINESE = ("查询余额", "信用卡挂失", "转账汇款", "理财产品咨询与购买", "其他")


def unusual_run(which: str, folder: Path) -> Report:
    """One of `many_labels`, `chinese`, `one_model`, `failed`, `numbers`."""
    if which == "failed":
        return build({**RUN, "outcome": "failed"}, finished_run(24)[:2])
    if which == "one_model":
        base = evaluation(predictions(60, 0.4, 0.2, 1))
        return build(
            {**RUN, "outcome": "failed"}, [*finished_run(24)[:1], stage("eval-base", "eval", {"eval-base": base}, 9)]
        )
    if which == "numbers":
        return build(RUN, _compared({"base": _numbers(1, 1.2), "tuned": _numbers(2, 0.7)}, folder, "loss"))
    labels = (
        CHINESE if which == "chinese" else [f"a_label_with_a_rather_long_name_number_{i}_of_150" for i in range(150)]
    )
    text = "请问怎么办理这项业务？需要带什么材料？" if which == "chinese" else "what about this one"
    models = {
        "base": labelled(labels, 450, 0.3, 1, text),
        "classic": labelled(labels, 450, 0.6, 2, text),
        "tuned": labelled(labels, 450, 0.8, 3, text),
    }
    return build(RUN, _compared(models, folder, "accuracy"))


def labelled(labels: Sequence[str], count: int, accuracy: float, seed: int, text: str) -> list[Prediction]:
    """Answers of a made-up model with these labels."""
    draw = random.Random(seed)
    parse = parser(
        PromptSpec(input="{{ text }}", labels={label: label for label in labels}, output=OutputSpec(format="label"))
    )
    lines = []
    for i in range(count):
        label = labels[i % len(labels)]
        asked = {"role": "user", "content": f"Topics: {', '.join(labels)}\nMessage: {text} {i}"}
        fields = {
            "id": digest([label, i]),
            "task": "intent",
            "label": label,
            "messages": [asked, {"role": "assistant", "content": label}],
        }
        said = label if draw.random() < accuracy else draw.choice([*labels, "???"])
        lines.append(predict(fields, label, said, parse, [BUILT_IN["accuracy"]]))
    return lines


def _numbers(seed: int, mean: float) -> list[Prediction]:
    draw = random.Random(seed)
    return [{**line, "scores": {"loss": draw.gauss(mean, 0.2) ** 2}} for line in predictions(60, 0.5, 0, 1)]


def _compared(models: dict[str, list[Prediction]], folder: Path, metric: str) -> list[StageReport]:
    sections: dict[str, Any] = compared(models, nearest=training_file(folder, models["tuned"]), metric=metric)
    shown = {role: evaluation(lines) for role, lines in models.items() if role != "classic" and metric == "accuracy"}
    return [
        stage("data", "data", {"data": data_section()}, 9.4),
        stage("train", "train", {"train": train_section()}, 121.8),
        *(stage(f"eval-{role}", "eval", {f"eval-{role}": one}, 34.0) for role, one in shown.items()),
        stage("compare", "eval", sections, 2.6),
    ]
