"""Stages of a finished run for report tests: the numbers come from the real comparison code."""

import random
from typing import Any

from jobs.answers.metrics import BUILT_IN
from jobs.answers.parse import parser
from jobs.eval.bad_cases import bad_cases
from jobs.eval.examples import Example
from jobs.eval.pairs import Pair, compare, one_model
from jobs.eval.score import Prediction, confusion, predict, scores
from jobs.eval.shown import for_report
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
        lines.append(predict(Example(fields, label), answer, parse, [BUILT_IN["accuracy"]]))
    return lines


def comparison(models: dict[str, list[Prediction]], seed: int = 1) -> dict[str, Any]:
    """The section `compare`."""
    config = CompareConfig(metric="accuracy", confidence=0.95, bootstrap_draws=10_000, seed=seed)
    pairs = [
        compare(role, "tuned", Pair(models[role], models["tuned"], "accuracy"), config)
        for role in models
        if role != "tuned"
    ]
    cases = bad_cases(models["tuned"], models["base"], "accuracy")
    return {
        "metric": "accuracy",
        "confidence": 0.95,
        "bootstrap_draws": 10_000,
        "n": len(models["base"]),
        "models": {role: one_model(lines, "accuracy", 0.95) for role, lines in models.items()},
        "pairs": pairs,
        "bad_cases": len(cases),
        "cases": for_report(cases, models["tuned"]),
    }


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
    return {**scores(lines, [BUILT_IN["accuracy"]], digest("template")), "confusion": confusion(lines), "seconds": 31.5}


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
        "seconds": {"load": 3.1, "train": 104.0},
    }


def finished_run(count: int = 200, text: str = "", previous: bool = True) -> list[StageReport]:
    """Every stage of a run whose tuned model is better than its base."""
    models = {"base": predictions(count, 0.35, 0.3, 1, text)}
    if previous:
        models["previous"] = predictions(count, 0.78, 0.02, 3, text)
    models["tuned"] = predictions(count, 0.85, 0.0, 2, text)
    stages = [
        stage("data", "data", {"data": data_section(text or "please tell me about it")}, 9.4),
        stage("train", "train", {"train": train_section()}, 121.8),
    ]
    for role, lines in models.items():
        stages.append(stage(f"eval-{role}", "eval", {f"eval-{role}": evaluation(lines)}, 34.0))
    return [*stages, stage("compare", "eval", {"compare": comparison(models)}, 2.6)]
