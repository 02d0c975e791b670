"""A folder with a run that really works, and the `sftjobs` of this environment as a person calls it."""

import copy
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN = """\
name: tickets
model: model
prompt: prompt.yaml
data:
  tasks:
    tickets: {path: train.jsonl}
  held_out: {path: held_out.jsonl}
train: {micro_batch_size: 4, global_batch_size: 8, epochs: 1}
"""
PROMPT = """\
input: "Ticket: {{ text }}"
labels: {payment: about money, delivery: about parcels}
output: {format: label}
"""
QUIET = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}
LIMIT_S = 240.0
"""A guard: a command that takes longer hangs."""


def records(count: int, start: int = 0) -> str:
    """JSONL with two labels, one after the other."""
    rows = (
        {"text": f"message {n} about " + ("a parcel" if n % 2 else "a bill"), "label": ("payment", "delivery")[n % 2]}
        for n in range(start, start + count)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


@dataclass(frozen=True)
class Answer:
    """What a person sees of one command."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


class CliRun:
    """run.yaml, prompt, data and a model in one folder; `sftjobs` runs there, as a process of its own."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self._command = [str(Path(sys.executable).with_name("sftjobs"))]
        self._variables: dict[str, str] = {}
        shutil.copytree(model, folder / "model")
        self.write("run.yaml", RUN)
        self.write("prompt.yaml", PROMPT)
        self.write("train.jsonl", records(8))
        self.write("held_out.jsonl", records(4, start=100))

    def write(self, name: str, content: str | bytes) -> Path:
        """Write one file, relative to the folder."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def change(self, old: str, new: str, file: str = "run.yaml") -> None:
        """Replace text that is there once."""
        path = self.folder / file
        text = path.read_text("utf-8")
        assert text.count(old) == 1, f"{old!r} in {file}"
        path.write_text(text.replace(old, new), "utf-8")

    def start(
        self, *arguments: str, folder: Path | None = None, stderr: Path | None = None, **variables: str
    ) -> "subprocess.Popen[str]":
        """`sftjobs ARGUMENTS` in the folder, without a terminal; the caller waits for it."""
        return subprocess.Popen(
            [*self._command, *arguments],
            cwd=folder or self.folder,
            env=self._environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if stderr is None else os.open(stderr, os.O_WRONLY | os.O_CREAT),
            text=True,
        )

    def __call__(self, *arguments: str, folder: Path | None = None, **variables: str) -> Answer:
        """Call `sftjobs ARGUMENTS` and wait. A traceback is never an answer."""
        with self.start(*arguments, folder=folder, **variables) as process:
            out, err = process.communicate(timeout=LIMIT_S)
        answer = Answer(process.returncode, out, err)
        assert "Traceback" not in answer.text, answer.text
        return answer

    def shell(self, line: str, **variables: str) -> Answer:
        """A line of bash with `sftjobs` in it, for pipes and closed streams."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self._environment({"PATH": path, **variables}),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    def with_packages(self, packages: Path, leave_out: tuple[str, ...]) -> "CliRun":
        """The same folder seen from an environment that has all packages of this one but some."""
        for path in Path(sysconfig.get_path("purelib")).iterdir():
            if path.name.partition("-")[0] not in leave_out:
                (packages / path.name).symlink_to(path)
        other = copy.copy(self)
        other._command = [sys.executable, "-S", "-m", "sftjobs"]
        other._variables = {"PYTHONPATH": f"{packages}{os.pathsep}{Path(__file__).resolve().parents[2]}"}
        return other

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SFTJOBS_"))}
        return {**kept, **QUIET, **self._variables, **variables}
