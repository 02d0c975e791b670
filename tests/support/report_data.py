"""Stages of a finished run for report tests: the numbers come from the real comparison code."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.answers.metrics import BUILT_IN
from jobs.answers.parse import parser
from jobs.answers.predict import Prediction, predict
from jobs.eval.bad_cases import bad_cases
from jobs.eval.compare import compare_all
from jobs.eval.nearest import add_nearest
from jobs.eval.score import confusion, scores
from jobs.eval.shown import for_report, nearest_for_report
from jobs.eval.words import failures
from sftjobs.canonical import digest
from sftjobs.plan.configs import CompareConfig
from sftjobs.plan.types import FileEntry, Kind, Manifest
from sftjobs.report.build import StageReport
from sftjobs.spec.prompt import OutputSpec, PromptSpec

LABELS = ["balance", "bill_due", "card_lost", "freeze_account", "greeting", "out_of_scope", "transfer", "weather"]
PROMPT = PromptSpec(
    input="Message: {{ text }}", labels={label: label for label in LABELS}, output=OutputSpec(format="label")
)
RUN = {"name": "intent-v3", "run_id": "intent-v3-5f2c91aa", "outcome": "succeeded"}


def predictions(count: int, accuracy: float, unreadable: float, seed: int, text: str = "") -> list[Prediction]:
    """Answers of a made-up model: right with a chance of `accuracy`."""
    draw = random.Random(seed)
    parse = parser(PROMPT)
    lines = []
    for i in range(count):
        label = LABELS[i % len(LABELS)]
        question = f"Sort the message.\n{', '.join(LABELS)}\n\nMessage: {text or 'please tell me about it'}, case {i}"
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": label}]
        fields = {"id": digest(i)[:16], "task": "intent" if i % 5 else "chat", "label": label, "messages": messages}
        answer = label if draw.random() < accuracy else draw.choice(LABELS)
        if draw.random() < unreadable:
            answer = "I would be glad to help you with that!"
        lines.append(predict(fields, label, answer, parse, [BUILT_IN["accuracy"]]))
    return lines


def comparison(models: dict[str, list[Prediction]], seed: int = 1, nearest: Path | None = None) -> dict[str, Any]:
    """The section `compare`. `nearest`: the training examples that bad cases are compared with."""
    return compared(models, seed, nearest)["compare"]


def compared(
    models: dict[str, list[Prediction]], seed: int = 1, nearest: Path | None = None, metric: str = "accuracy"
) -> dict[str, Any]:
    """The sections of the stage compare."""
    config = CompareConfig(metric=metric, confidence=0.95, bootstrap_draws=10_000, seed=seed)
    found = compare_all(models, config)
    seeds = [models[role] for role in models if role.startswith("tuned-")]
    cases = bad_cases(models["tuned"], models["base"], metric, lower_is_better=found["lower_is_better"], seeds=seeds)
    if nearest is not None:
        add_nearest(cases, nearest)
    shown = for_report(cases, models["tuned"])
    return {
        "compare": {**found, "bad_cases": len(cases), "cases": shown},
        "nearest": nearest_for_report(cases, shown),
    }


def training_file(folder: Path, lines: Sequence[Prediction], wrong: float = 0.0) -> Path:
    """A train.jsonl of examples like those of `lines`; a share `wrong` of them with another label."""
    draw = random.Random(9)
    path = folder / "train.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number, line in enumerate(lines):
            label = draw.choice(LABELS) if draw.random() < wrong else line["label"]
            asked = {**line["messages"][0], "content": line["messages"][0]["content"] + " again"}
            messages = [asked, {"role": "assistant", "content": label}]
            example = {"id": digest(["train", number]), "task": line["task"], "label": label, "messages": messages}
            file.write(json.dumps(example, ensure_ascii=False) + "\n")
    return path


def stage(name: str, kind: Kind, sections: dict[str, Any], seconds: float, **counts: Any) -> StageReport:
    """A committed stage."""
    manifest = Manifest(
        kind=kind,
        key=digest([name, "key"]),
        incarnation=1,
        digest=digest(name),
        content=[FileEntry(path="file", size=123_456, sha256=digest("file"))],
        info=[],
        inputs={"model": digest("model"), "data": digest("data")},
        versions={"torch": "2.13.0", "transformers": "5.23.0"},
        counts=counts,
        facts={
            "run_id": RUN["run_id"],
            "attempt": 0,
            "started": 1000.0,
            "finished": 1000.0 + seconds,
            "seconds": {"fetch": 0.2, "run": seconds - 1},
            "cpu_s": seconds * 1.9,
            "peak_rank_mib": 1812.4,
        },
    )
    return StageReport(name, kind, manifest, sections)


def evaluation(lines: list[Prediction]) -> dict[str, Any]:
    """The section of one evaluation, as far as the report shows it."""
    metrics = [BUILT_IN["accuracy"], BUILT_IN["macro_f1"], BUILT_IN["format"]]
    scored = [
        {**line, "scores": {"macro_f1": line["correct"], "format": line["parse"] == "strict", **line["scores"]}}
        for line in lines
    ]
    return {
        **scores(scored, metrics, digest("template")),
        "confusion": confusion(lines),
        "notes": [],
        "parse_failures": failures(lines),
        "seconds": 31.5,
    }


def baselines_section() -> dict[str, Any]:
    """The section `baselines`, as far as the report shows it."""
    curve = [(0.1, 40, 0.52), (0.25, 99, 0.61), (0.5, 198, 0.7), (1.0, 395, 0.76)]
    return {
        "likelihood": {"metric": "accuracy", "seconds": 12.5, "notes": []},
        "few_shot": {
            "metric": "accuracy",
            "seconds": 44.0,
            "notes": ["3 of 4 examples fit the context"],
            "shown": [{"id": digest("shot"), "label": "balance", "question": "how much is left", "answer": "balance"}],
        },
        "classic": {
            "metric": "accuracy",
            "seconds": 1.4,
            "notes": [],
            "last_doubling": {"examples": [198, 395], "difference": 0.06, "low": 0.01, "high": 0.11},
            "curve": [
                {"share": share, "examples": examples, "accuracy": value, "low": value - 0.06, "high": value + 0.06}
                for share, examples, value in curve
            ],
        },
    }


def data_section(text: str = "please tell me about it") -> dict[str, Any]:
    """The section `data`."""
    segments = [[f"<|im_start|>user\nMessage: {text}<|im_end|>\n<|im_start|>assistant\n", False]]
    segments += [["balance<|im_end|>", True], ["\n", False]]
    return {
        "funnel": [
            {"step": "records", "examples": 612},
            {"step": "duplicate", "dropped": 14},
            {"step": "held_out_exact", "dropped": 3},
            {"step": "train", "examples": 395},
            {"step": "held_out", "examples": 200},
        ],
        "tasks": [{"task": "intent", "examples": 395, "tokens": 98_750, "supervised_tokens": 1_604}],
        "labels": [{"label": label, "train": 40 + 3 * i, "held_out": 25} for i, label in enumerate(LABELS)],
        "lengths": [
            {"from": 224 + 8 * i, "to": 232 + 8 * i, "examples": number}
            for i, number in enumerate([4, 22, 71, 118, 96, 48, 21, 9, 4, 2])
        ],
        "max_tokens": 512,
        "common_prefix_tokens": 208,
        "longest_answer_tokens": 6,
        "conflicts": {
            "questions": 1,
            "shown": [{"task": "intent", "question": text, "answers": [{"answer": "balance", "line": 4}]}],
        },
        "template_hash": digest("template"),
        "examples": [{"id": digest(i)[:16], "task": "intent", "line": i, "segments": segments} for i in range(3)],
        "held_out": 200,
        **data_card(text),
    }


MIXTURE = [
    {
        "epoch": epoch, "task": task, "examples": 395, "of": 395, "uses": 1.0, "share": 0.5, "tokens": 98_750,
        "supervised_tokens": 1_604, "token_share": 0.5,
    }
    for epoch in (1, 2)
    for task in ("intent", "general")
]  # fmt: skip
"""What training drew in each epoch."""


def data_card(text: str) -> dict[str, Any]:
    """What `jobs.data.card` adds to the section."""
    record = {"id": digest("record"), "line": 7, "answer": "balance", "question": [[text, False], [" now", True]]}
    pairs = {"examples": 30, "shown": [{"task": "intent", "rule": None, "left": record, "right": record}]}
    counts = {"train": 395, "held_out": 200, "dev": 0}
    rules = [
        {"rule": "duplicate", "dropped": 14, "marked": 0, "meaning": f"came before {text}", "way_out": "look at it"},
        {"rule": "label_noise", "dropped": 0, "marked": 9, "meaning": "speaks for another", "way_out": "review"},
    ]
    suspect = {
        "id": digest("suspect"), "task": "intent", "line": 3, "question": text, "answer": "balance",
        "suggestion": "transfer", "score": "label_margin", "value": -0.37,
    }  # fmt: skip
    return {
        "rules": rules,
        "languages": [{"language": "en", **counts}],
        "difficulties": [{"difficulty": "hard", **counts}],
        "near_duplicates": pairs,
        "boundary": pairs,
        "overlaps": pairs,
        "noise": [suspect],
        "pii": [{"kind": "phone", "records": 2, "finds": 3}],
        "mended": {"train": 4},
        "residue": [text],
    }


def train_section() -> dict[str, Any]:
    """The section `train`."""
    draw = random.Random(3)
    curve = [
        {"step": step, "loss": 0.04 + 2.6 * 0.93**step * draw.uniform(0.7, 1.3), "learning_rate": 5e-4}
        for step in range(1, 97)
    ]
    return {
        "summary": "world 1x1 | micro batch 4 | accumulation 2 | global batch 8 | 96 steps | 2 epochs",
        "reasons": {"method": "395 examples are few: lora", "learning_rate": "lora"},
        "method": "lora",
        "learning_rate": 5e-4,
        "schedule": "cosine",
        "precision": "float32",
        "micro_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "world_size": 1,
        "counts": {"steps": 96, "supervised_tokens": 3208, "final_loss": 0.051, "template_hash": digest("template")},
        "mixture": MIXTURE,
        "curve": curve,
        "kept_step": 70,
        "kept_because": "best of 10 looks at the dev set: dev loss 0.21",
        "dev": {
            "metric": None,
            "every_steps": 10,
            "patience": 2,
            "looks": [
                {"step": step, "loss": 0.2 + 2.3 * 0.93**step + 0.004 * max(0, step - 70), "score": None}
                for step in range(0, 97, 10)
            ],
            "stopped_early": {"at": 96, "of": 200, "patience": 2},
            "seconds": 4.0,
        },
        "seconds": {"load": 3.1, "train": 104.0},
    }


def finished_run(
    count: int = 200, text: str = "", previous: bool = True, folder: Path | None = None, baselines: bool = True
) -> list[StageReport]:
    """Every stage of a run whose tuned model is better than its base.

    With a `folder` for a file of training examples, bad cases have the nearest of them.
    """
    models = {"base": predictions(count, 0.35, 0.3, 1, text)}
    if baselines:
        for seed, (name, right) in enumerate({"likelihood": 0.45, "few_shot": 0.55, "classic": 0.76}.items(), start=4):
            models[name] = predictions(count, right, 0.0, seed, text)
    if previous:
        models["previous"] = predictions(count, 0.78, 0.02, 3, text)
    models["tuned"] = predictions(count, 0.85, 0.01, 2, text)
    stages = [
        stage("data", "data", {"data": data_section(text or "please tell me about it")}, 9.4),
        stage("train", "train", {"train": train_section()}, 121.8),
    ]
    if baselines:
        stages.append(stage("baselines", "eval", {"baselines": baselines_section()}, 61.0))
    for role, lines in models.items():
        if role in ("base", "previous", "tuned"):
            stages.append(stage(f"eval-{role}", "eval", {f"eval-{role}": evaluation(lines)}, 34.0))
    nearest = None if folder is None else training_file(folder, models["tuned"][:4_000], wrong=0.2)
    return [*stages, stage("compare", "eval", compared(models, nearest=nearest), 2.6)]
