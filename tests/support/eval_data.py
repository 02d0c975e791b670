"""Held-out examples and prompt files for evaluation tests."""

import json
from pathlib import Path
from typing import Any

from sftjobs.plan.configs import DecodingConfig, EvalConfig, MetricConfig
from sftjobs.spec.prompt import OutputSpec, PromptSpec
from tests.support.program_runner import run_here

LABELS = {"balance": "asks for the balance", "transfer": "moves money", "out_of_scope": "anything else"}


def label_prompt() -> PromptSpec:
    return PromptSpec(
        system="You sort messages.",
        instruction="Answer with one label.\n{{ labels }}",
        input="Message: {{ text }}",
        labels=LABELS,
        output=OutputSpec(format="label"),
    )


def example(number: int, answer: str, task: str = "intent", label: str | None = None) -> dict[str, Any]:
    """An example as the data stage writes it."""
    labels = "\n".join(f"- {name}: {meaning}" for name, meaning in LABELS.items())
    question = f"Answer with one label.\n{labels}\n\nMessage: how much is it, question {number}?"
    messages = [
        {"role": "system", "content": "You sort messages."},
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return {"id": f"e{number:04d}", "task": task, "label": label, "messages": messages, "source": ["f00", number]}


def label_examples(count: int) -> list[dict[str, Any]]:
    names = list(LABELS)
    return [example(i, names[i % 3], "intent" if i % 4 else "chat", names[i % 3]) for i in range(count)]


def data_folder(folder: Path, examples: list[dict[str, Any]], prompt: PromptSpec | None = None) -> Path:
    """The part of a data artifact that evaluation reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "held_out.jsonl").write_text("".join(json.dumps(one) + "\n" for one in examples))
    (folder / "prompt.json").write_text((prompt or label_prompt()).model_dump_json())
    return folder


def loss_of(work: Path, **inputs: Path) -> float:
    """Held-out loss of `model` by its evaluation; of one behind virtual tokens with `adapter`."""
    from jobs.eval.__main__ import run

    config = EvalConfig(
        metrics=[MetricConfig(name="accuracy"), MetricConfig(name="loss")],
        decoding=DecodingConfig(max_new_tokens=4, seed=1),
        threads_per_process=1,
        seed=1,
    )
    data = data_folder(work / "data", label_examples(12))
    outcome = run_here(run, "jobs.eval", config, {"data": data, **inputs}, work / "run")
    return float(outcome.counts["metrics"]["loss"])
