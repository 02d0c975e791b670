"""Runs of the data stage over sources that a test writes."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jobs.data.__main__ import run
from sftjobs.plan.configs import DataConfig, DataCounts, SourceConfig
from sftjobs.spec.prompt import OutputSpec, PromptSpec
from tests.support.program_runner import Outcome, run_here
from tests.support.tiny import tiny_tokenizer

LABELS = PromptSpec(input="Message: {{ text }}", labels={"buy": "wants to buy", "sell": "wants to sell"},
                    output=OutputSpec(format="label"))  # fmt: skip
FREE = PromptSpec(input="{{ text }}")
THINGS = ["a red bicycle", "the old piano", "two garden chairs", "my winter coat", "this fast laptop",
          "a used camera", "the kitchen table", "some rare stamps", "a wooden boat", "his guitar", "the blue sofa",
          "a coffee machine"]  # fmt: skip
BUY = ["I would like to buy {} this week", "where can I purchase {} here", "looking for {} to buy today"]
SELL = ["I want to sell {} this week", "who takes {} off my hands", "offering {} for sale today"]


def label_records() -> list[dict[str, Any]]:
    return [
        {"text": form.format(thing), "label": label, "id": f"{label}-{i}-{thing}", "level": ("easy", "hard")[i % 2]}
        for label, forms in (("buy", BUY), ("sell", SELL))
        for i, form in enumerate(forms)
        for thing in THINGS
    ]


class World:
    """A folder with a tokenizer and sources, and the stage over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tiny_tokenizer(folder / "model")
        self.inputs = {"model": folder / "model"}

    def give(self, name: str, records: list[dict[str, Any]] | bytes, file: str = "") -> Path:
        path = self.folder / (file or f"{name}.jsonl")
        text = records if isinstance(records, bytes) else "".join(
            json.dumps(record) + "\n" for record in records
        ).encode("utf-8", "surrogatepass")  # fmt: skip
        path.write_bytes(text)
        self.inputs[name] = path
        return path

    def run(self, prompt: PromptSpec = LABELS, work: str = "work", **more: Any) -> Outcome:
        return run_here(run, "jobs.data", self.config(prompt, **more), self.inputs, self.folder / work)

    @staticmethod
    def config(prompt: PromptSpec, **more: Any) -> DataConfig:
        given: dict[str, Any] = {"prompt": prompt, "max_tokens": 300, "seed": 1, "tasks": {"t": source()}}
        if "held_out" not in more and "held_out_fraction" not in more:
            more["held_out_fraction"] = 0.2
        return DataConfig.model_validate({**given, **more})


def source(name: str = "task.t", **more: Any) -> SourceConfig:
    return SourceConfig(input=name, **{"format": "auto", "output_column": "label", **more})


def ledger(outcome: Outcome) -> list[dict[str, Any]]:
    return pq.read_table(outcome.content / "ledger.parquet").to_pylist()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def dropped(outcome: Outcome) -> dict[str, int]:
    return DataCounts.model_validate(outcome.counts).dropped
