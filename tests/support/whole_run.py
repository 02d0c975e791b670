"""Whole runs as a user starts them: the real `sftjobs` as a subprocess, the real stage programs, a tiny random model.

folder = make_inputs(path)              run.yaml, prompt, data and model
whole = WholeRun(folder)
whole.cli("run")                        a command to its end
with whole.start("run") as running:     a command in a process group of its own, as a terminal starts it
    whole.reached("train", step=5)
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

import sftjobs
from sftjobs import names
from sftjobs.plan.committed import committed
from sftjobs.runs import Attempt, find_run, read_attempts, read_plan
from sftjobs.store.base import Store
from sftjobs.store.folder import FolderStore
from tests.support.chain_runs import until

STAGES = ("data", "train", "eval-base", "eval-tuned", "compare")
STEPS = 60
PATIENCE_S = 240.0
"""Deadline of anything that a run should come to, on a machine that does a lot besides."""
SFTJOBS = str(Path(sys.executable).with_name("sftjobs"))

_WORDS = {
    "balance": ("money", "account", "much"),
    "transfer": ("move", "dollars", "savings"),
    "card_lost": ("card", "lost", "stolen"),
    "weather": ("rain", "sun", "cold"),
}
_PROMPT = """\
system: You sort messages of customers by what they want.
instruction: |
  Answer with exactly one label and nothing else.
  {{ labels }}
input: "Message: {{ text }}"
labels: {balance: how much money there is, transfer: moves money, card_lost: has lost a card, weather: about the sky}
output: {format: label}
"""
RUN_YAML = f"""\
name: whole
model: model
prompt: prompt.yaml
data:
  tasks:
    intent: {{path: train.jsonl}}
  held_out: {{path: held_out.jsonl}}
train:
  {{learning_rate: 1e-2, method: lora, epochs: 20, max_steps: {STEPS}, global_batch_size: 8, checkpoint_every_s: 1}}
eval: {{baselines: []}}
resources:
  parallel_stages: 2
  data: {{threads_per_process: 1}}
  train: {{threads_per_process: 1}}
  eval: {{threads_per_process: 1}}
retries: {{backoff_s: 0.1}}
"""


def make_inputs(folder: Path) -> Path:
    """A model that learns four labels in a minute at most; the same bytes each time."""
    from tests.support.tiny import tiny_model

    folder.mkdir(parents=True, exist_ok=True)
    tiny_model(folder / "model", hidden=64, layers=4)
    choose = random.Random(1)
    for name, count in (("train", 80), ("held_out", 24)):
        lines = [json.dumps(record(choose, f"{name}{index}")) for index in range(count)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "prompt.yaml").write_text(_PROMPT, encoding="utf-8")
    (folder / "run.yaml").write_text(RUN_YAML, encoding="utf-8")
    return folder


def record(choose: random.Random, mark: str, labels: Sequence[str] = tuple(_WORDS)) -> dict[str, str]:
    """A message that asks for one of the labels."""
    label = choose.choice(sorted(labels))
    return {"text": " ".join(choose.choice(_WORDS[label]) for _ in range(5)) + f" {mark}", "label": label}


class Running:
    """A command that goes on while the test does something else."""

    def __init__(self, command: list[str], folder: Path, environ: Mapping[str, str], output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=folder, env=dict(environ), stdout=file, stderr=file, start_new_session=True
            )

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def text(self) -> str:
        """Everything it has printed so far."""
        return self._output.read_text(encoding="utf-8")

    def is_running(self) -> bool:
        return self.process.poll() is None

    def ctrl_c(self) -> None:
        """INT to the whole process group, which is what a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def send(self, number: int) -> None:
        """To the command alone."""
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_S) -> int:
        """Its exit code."""
        return self.process.wait(seconds)


class WholeRun:
    """A folder with run.yaml, and what a look into its store shows."""

    def __init__(self, folder: Path, store: Store | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.store = store or FolderStore(folder / ".sftjobs")
        quiet = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "400"}
        source = str(Path(sftjobs.__file__).resolve().parents[1])  # the tree under test, whatever is installed
        python_path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
        self.environ = {**os.environ, **quiet, "PYTHONPATH": python_path, **(environ or {})}
        self._started = 0

    def copy(self, folder: Path) -> "WholeRun":
        """The same run with its store somewhere else."""
        shutil.copytree(self.folder, folder)
        return WholeRun(folder)

    def change(self, old: str, new: str, file: str = "run.yaml", to: str | None = None) -> None:
        """Replace a text in a file of the folder, or write the result to another one."""
        text = (self.folder / file).read_text(encoding="utf-8")
        assert old in text
        (self.folder / (to or file)).write_text(text.replace(old, new), encoding="utf-8")

    # --- commands -----------------------------------------------------------------------------------------------------

    def cli(self, *arguments: str, code: int = 0, cwd: Path | None = None, timeout_s: float = PATIENCE_S) -> str:
        """Run a command to its end; returns what it printed, after a look at its exit code."""
        done = subprocess.run(
            [SFTJOBS, *arguments],
            cwd=cwd or self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr + done.stdout
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.cli(*arguments, "-o", "json"))

    def start(self, *arguments: str) -> Running:
        self._started += 1
        output = self.folder / f"output-{self._started}.txt"
        return Running([SFTJOBS, *arguments], self.folder, self.environ, output)

    # --- what the store says ------------------------------------------------------------------------------------------

    def run_id(self, name: str = "whole") -> str:
        return find_run(self.store, name)

    def digests(self, name: str = "whole") -> dict[str, str]:
        """Artifact digest by stage, of those that are committed."""
        done = committed(read_plan(self.store, self.run_id(name)), self.store)
        return {stage: item.ref.digest for stage, item in done.items()}

    def keys(self, name: str = "whole") -> dict[str, str]:
        """Stage key by stage, of those that are committed."""
        done = committed(read_plan(self.store, self.run_id(name)), self.store)
        return {stage: item.plan.key for stage, item in done.items()}

    def attempts(self, stage: str, name: str = "whole") -> list[Attempt]:
        return read_attempts(self.store, self.run_id(name)).get(stage, [])

    def endings(self, name: str = "whole") -> dict[str, list[str | None]]:
        """Failure class of each attempt by stage; None for an open one. Their numbers have no gaps."""
        found = read_attempts(self.store, self.run_id(name))
        for stage, attempts in found.items():
            assert [attempt.number for attempt in attempts] == list(range(len(attempts))), stage
        return {
            stage: [attempt.result.termination.failure if attempt.result else None for attempt in attempts]
            for stage, attempts in found.items()
        }

    def objects(self, name: str) -> list[str]:
        """Keys of all COMMITs or CLAIMs of stages, as `name` says."""
        return sorted(entry.key for entry in self.store.list(names.STAGES) if entry.key.endswith(f"/{name}"))

    def content(self, stage: str, path: str) -> Path:
        """A file of a committed artifact in the folder store."""
        ref = committed(read_plan(self.store, self.run_id()), self.store)[stage].ref
        key = f"{names.incarnation_prefix(ref.kind, ref.key, ref.incarnation)}{names.CONTENT}/{path}"
        found = self.store.local_path(key)
        assert found is not None
        return found

    # --- what is at work on this machine ------------------------------------------------------------------------------

    def job(self, stage: str) -> Path | None:
        """Folder of the agent that works on the stage now; None if there is none."""
        for folder in sorted(self.folder.glob(f".sftjobs/local/jobs/*/*-{stage}-a*")):
            if (folder / "0" / "pid").is_file() and not (folder / "ended.json").exists():
                return folder / "0"
        return None

    def agent(self, stage: str) -> psutil.Process | None:
        """The agent of the stage, if it lives."""
        folder = self.job(stage)
        with suppress(psutil.Error, OSError):
            if folder is not None:
                process = psutil.Process(int((folder / "pid").read_text()))
                return process if process.status() != psutil.STATUS_ZOMBIE else None
        return None

    def program(self, stage: str) -> psutil.Process | None:
        """The rank of the stage's program, if it has been started."""
        agent = self.agent(stage)
        with suppress(psutil.Error):
            for child in agent.children() if agent is not None else []:
                if child.status() != psutil.STATUS_ZOMBIE:
                    return child
        return None

    def progress(self, stage: str) -> tuple[str, int]:
        """Phase and step that the program at work has reported last; ("", 0) before that."""
        folder = self.job(stage)
        with suppress(FileNotFoundError):
            if folder is not None:
                lines = (folder / "volumes" / "scratch" / "progress.jsonl").read_text(encoding="utf-8").splitlines()
                if lines:
                    last = json.loads(lines[-1])
                    return last["phase"], last["step"]
        return "", 0

    def reached(self, stage: str, phase: str = "train", step: int = 0) -> bool:
        """True while the program at work on `stage` is in this phase, at this step or after it."""
        now, done = self.progress(stage)
        return now == phase and done >= step

    def wait_for(self, condition: Callable[[], Any], what: str, running: Running | None = None) -> Any:
        """Poll; fails at once if the command that should bring it about has ended."""

        def look() -> Any:
            value = condition()
            assert value or running is None or running.is_running(), f"ended before {what}:\n{running.text}"
            return value

        return until(look, what, PATIENCE_S)

    def saved_steps(self, stage: str = "train", name: str = "whole") -> list[int]:
        """Steps of the checkpoints in the store, of the newest attempt's stage key."""
        plan = self.attempts(stage, name)[-1].intent.plan
        folder = f"{names.stage_prefix(plan.kind, plan.key)}{names.CHECKPOINT}/"
        return [int(entry.key.removeprefix(f"{folder}step-").partition(".")[0]) for entry in self.store.list(folder)]

    def resumed_from(self, stage: str = "train") -> list[int]:
        """Steps that attempts went on from, by the logs of all attempts, in no particular order."""
        mark = "going on from the checkpoint of step "
        found = []
        for log in self.folder.glob(f".sftjobs/local/jobs/*/*-{stage}-a*/0/output.log"):
            lines = log.read_text(encoding="utf-8").splitlines()
            found += [int(line.partition(mark)[2]) for line in lines if mark in line]
        return found

    def live(self) -> list[str]:
        """Command lines of the processes that work for a run in this folder."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(names.ENV_WORKDIR, "").startswith(f"{self.folder}/"):
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
        return found

    def kill_all(self) -> None:
        """For the end of a test that left agents at work."""
        for line in self.live():
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
