"""Small trainings: a data folder as the data stage leaves it, and a config that fits it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jobs.train.examples import TrainingSet
from sftjobs.canonical import sha256
from sftjobs.plan.arithmetic import optimizer_steps
from sftjobs.plan.configs import LoraConfig, MixtureConfig, PromptLearningConfig, TrainConfig
from sftjobs.plan.sampler import Mixture
from sftjobs.program import Program
from tests.support.program_runner import Outcome

PROMPT = "You sort messages of customers by what they want. Answer with exactly one label and nothing else."
ANSWERS = ("balance", "transfer", "card_lost and please greet", "out_of_scope", "weather")
LORA = LoraConfig(rank=4, alpha=8, dropout=0.0, target="all-linear")
LORA_PLUS = LORA.model_copy(update={"learning_rate_ratio": 16.0})
PERIODIC = LORA.model_copy(update={"cycles": 3})
ADAPTERS = {"lora": LORA, "rslora": LORA, "dora": LORA, "lora_plus": LORA_PLUS, "periodic_lora": PERIODIC}
"""Of the methods of the LoRA family whose base model is that of the files."""
VIRTUAL = PromptLearningConfig(virtual_tokens=5, encoder=None, encoder_size=None)
WITH_MLP = VIRTUAL.model_copy(update={"encoder": "mlp"})
PROMPTS = {"prompt_tuning": VIRTUAL, "p_tuning": WITH_MLP, "prefix_tuning": VIRTUAL}
"""Of the methods that train virtual tokens."""


def training_data(folder: Path, examples: int = 22, task: str = "intent", **more: int) -> Path:
    """`train.jsonl` with a common prompt, questions and answers of unequal length; `more`: further tasks."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"id": f"{name}-{index}", "task": name, "messages": _messages(index, name)})
        for name, count in {task: examples, **more}.items()
        for index in range(count)
    ]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def padded(examples: TrainingSet, numbers: list[int]) -> dict[str, Tensor]:
    """Some examples as the stock Trainer takes them: one row each, padded on the right."""
    length = max(examples.lengths[i] for i in numbers)
    more = {i: length - examples.lengths[i] for i in numbers}
    rows = {
        "input_ids": [examples.token_ids[i].tolist() + [0] * more[i] for i in numbers],
        "labels": [examples.labels[i].tolist() + [-100] * more[i] for i in numbers],
        "attention_mask": [[1] * examples.lengths[i] + [0] * more[i] for i in numbers],
    }
    return {name: torch.tensor(values) for name, values in rows.items()}


def _messages(index: int, task: str) -> list[dict[str, str]]:
    question = f"Message {index}: " + "money " * (index % 5)
    system = PROMPT if task != "general" else "You are kind."
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
        {"role": "assistant", "content": ANSWERS[index % len(ANSWERS)]},
    ]


def fill_adapter(model: nn.Module) -> None:
    """Makes the adapter one that changes something, by the global seed: a new one changes nothing."""
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
        elif "magnitude" in name:
            parameter.data *= 1 + 0.1 * torch.rand_like(parameter)


def train_config(method: str = "lora", examples: int = 22, **changes: Any) -> TrainConfig:
    """Two epochs over `training_data(examples)`, unless changed; `steps` follows from the rest."""
    values: dict[str, Any] = {
        "method": method,
        "lora": LORA if method == "qlora" else ADAPTERS.get(method),
        "prompt_learning": PROMPTS.get(method),
        "learning_rate": 1e-3 if method == "full" else 1e-2,
        "mixture": MixtureConfig(
            epochs={"intent": changes.pop("epochs", 2.0)}, general_ratio=changes.pop("general_ratio", None)
        ),
        "micro_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "world_size": 1,
        "warmup_steps": 1,
        "schedule": "cosine",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "precision": "float32",
        "threads_per_process": 1,
        "max_tokens": 512,
        "seed": 3,
        **changes,
    }
    batch = values["micro_batch_size"] * values["gradient_accumulation_steps"] * values["world_size"]
    sizes = Mixture.of(values["mixture"]).sizes({"intent": examples})
    return TrainConfig.model_validate({"steps": optimizer_steps(sizes, batch), **values})


def losses(outcome: Outcome) -> list[float]:
    """Loss of each step, in order."""
    lines = (outcome.info / "metrics.jsonl").read_text().splitlines()
    points = [point for point in map(json.loads, lines) if "loss" in point]  # looks at the dev set have a dev_loss
    assert [point["step"] for point in points] == list(range(1, len(points) + 1))
    return [point["loss"] for point in points]


def tree(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file below `folder`."""
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stop_after(step: int) -> Callable[[Program], None]:
    """For `run_here(change=...)`: the request to stop arrives during the given training step."""

    def prepare(program: Program) -> None:
        tell = program.progress

        def progress(phase: str, done: int, *values: Any, **more: Any) -> None:
            tell(phase, done, *values, **more)
            program.stop_requested = program.stop_requested or (phase == "train" and done == step)

        program.progress = progress  # type: ignore[method-assign]

    return prepare
