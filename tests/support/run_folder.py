"""A folder with a run.yaml that loads without a problem, for tests that break one thing in it."""

import json
from pathlib import Path

from sftjobs.errors import SpecError
from sftjobs.spec.load import Loaded, load

RUN = """\
name: tickets
model: model
prompt: prompt.yaml
data:
  tasks:
    tickets: {path: train.jsonl}
  held_out: {path: held_out.jsonl}
"""
PROMPT = """\
input: "Ticket: {{ text }}"
labels: {payment: about money, delivery: about parcels}
output: {format: label}
"""


class RunFolder:
    """Writes files into one folder and loads its run.yaml."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "model").mkdir()
        self.write("model/config.json", "{}")
        self.write("model/tokenizer.json", "{}")
        self.write("run.yaml", RUN)
        self.write("prompt.yaml", PROMPT)
        record = json.dumps({"text": "Where is it?", "label": "delivery"}) + "\n"
        self.write("train.jsonl", record)
        self.write("held_out.jsonl", record)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write one file, relative to the folder."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def load(self, **options: bool) -> Loaded:
        return load(self.path / "run.yaml", **options)

    def messages(self, **options: bool) -> list[str]:
        """What a person sees, with `DIR` for the folder; empty if nothing is wrong."""
        try:
            self.load(**options)
        except SpecError as error:
            return [
                str(problem).replace(f"{self.path}/", "").replace(str(self.path), "DIR") for problem in error.problems
            ]
        return []

    def with_run(self, old: str, new: str) -> list[str]:
        """Messages after a change of run.yaml."""
        assert old in RUN
        self.write("run.yaml", RUN.replace(old, new))
        return self.messages()

    def with_more(self, text: str) -> list[str]:
        """Messages after adding to run.yaml."""
        self.write("run.yaml", RUN + text)
        return self.messages()

    def with_prompt(self, text: str) -> list[str]:
        """Messages with another prompt file."""
        self.write("prompt.yaml", text)
        return self.messages()
