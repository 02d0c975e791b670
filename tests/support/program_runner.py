"""Run a stage program under the environment contract of `sftjobs.program`, without an agent.

outcome = run_program("jobs.train", config, {"model": folder, "data": folder}, tmp_path)     # a process of its own
program = run_here(jobs.train.__main__.run, config, {...}, tmp_path)                         # in this process
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftjobs import names
from sftjobs.canonical import digest, sha256
from sftjobs.model import Document
from sftjobs.names import Exit
from sftjobs.plan.types import External, FinishedInput, Kind, Operation, Resources, StagePlan
from sftjobs.program import Program

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a program left."""

    returncode: int
    stdout: str
    stderr: str
    work: Path

    @property
    def content(self) -> Path:
        return self.work / "output" / names.CONTENT

    @property
    def info(self) -> Path:
        return self.work / "output" / names.INFO

    @property
    def checkpoints(self) -> Path:
        return self.work / "checkpoints"

    @property
    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = json.loads((self.work / "output" / names.COUNTS_JSON).read_text())
        return counts

    @property
    def progress(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.work / "progress.jsonl").read_text().splitlines()]

    def report(self, section: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.info / names.REPORT_SECTIONS / f"{section}.json").read_text())
        return value


def digest_of(path: Path, name: str) -> str:
    """As planning names an input: a file by its SHA-256."""
    return sha256(path.read_bytes()) if path.is_file() else digest(name)


def stage_plan(
    program: str,
    config: Document | dict[str, Any],
    inputs: Mapping[str, Path],
    resources: Resources | None = None,
    operation: Operation | None = None,
) -> StagePlan:
    """A stage plan by hand; the key is a digest of the config, so another config has another key."""
    values = config.model_dump(mode="json") if isinstance(config, Document) else config
    parts = program.split(".")
    kind: Kind = "train" if "train" in parts else "eval" if "eval" in parts else "data"
    finished = {
        name: FinishedInput(external=External(source=str(path), digest=digest_of(path, name), files=[]))
        for name, path in inputs.items()
    }
    key_json = {"program": program, "config": values}
    return StagePlan(
        run="test-run",
        stage=kind,
        kind=kind,
        program=program,
        key=digest(key_json),
        key_json=key_json,
        config=values,
        inputs=finished,
        resources=resources or Resources(),
        operation=operation or Operation(),
        reasons={"learning_rate": "given by the test"},
        summary="one line of arithmetic",
    )


def environment(plan: StagePlan, inputs: Mapping[str, Path], work: Path, resume: Path | None = None) -> dict[str, str]:
    """The environment variables that the agent would set; makes the folders below `work`."""
    for folder in ("inputs", "output", "checkpoints"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    (work / "plan.json").write_text(plan.model_dump_json())
    (work / "progress.jsonl").touch()
    for name, path in inputs.items():
        link = work / "inputs" / name
        if path.is_file():
            link.mkdir(exist_ok=True)
            link = link / path.name
        if not link.is_symlink():
            link.symlink_to(path.resolve())
    environ = {
        names.ENV_PLAN: str(work / "plan.json"),
        names.ENV_INPUTS: str(work / "inputs"),
        names.ENV_OUTPUT: str(work / "output"),
        names.ENV_CHECKPOINTS: str(work / "checkpoints"),
        names.ENV_PROGRESS: str(work / "progress.jsonl"),
    }
    return environ if resume is None else {**environ, names.ENV_RESUME: str(resume)}


def run_here(
    run: Callable[[Program], None],
    module: str,
    config: Document | dict[str, Any],
    inputs: Mapping[str, Path],
    work: Path,
    *,
    operation: Operation | None = None,
    resume: Path | None = None,
    change: Callable[[Program], None] | None = None,
) -> Outcome:
    """Call `run` in this process; errors come out as exceptions. `change` may prepare the program, e.g. to stop it."""
    plan = stage_plan(module, config, inputs, operation=operation)
    program = Program(environment(plan, inputs, work, resume))
    if change is not None:
        change(program)
    try:
        run(program)
    except BaseException:
        program.close(Exit.USER_ERROR)
        raise
    program.close(0)
    return Outcome(0, "", "", work)


def start_program(
    module: str,
    config: Document | dict[str, Any],
    inputs: Mapping[str, Path],
    work: Path,
    *,
    resources: Resources | None = None,
    operation: Operation | None = None,
    resume: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> "subprocess.Popen[str]":
    """Start `python -m module` as a process of its own; the caller waits for it."""
    plan = stage_plan(module, config, inputs, resources, operation)
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    offline = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(REPOSITORY)}
    environ = {**os.environ, **threads, **offline, **environment(plan, inputs, work, resume), **(extra or {})}
    command = [sys.executable, "-m", module]
    return subprocess.Popen(
        command, cwd=work, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def run_program(
    module: str,
    config: Document | dict[str, Any],
    inputs: Mapping[str, Path],
    work: Path,
    *,
    resources: Resources | None = None,
    operation: Operation | None = None,
    resume: Path | None = None,
    extra: Mapping[str, str] | None = None,
    timeout_s: float = 120,
) -> Outcome:
    """Run `python -m module` to its end, as the agent would start it."""
    process = start_program(
        module, config, inputs, work, resources=resources, operation=operation, resume=resume, extra=extra
    )
    stdout, stderr = process.communicate(timeout=timeout_s)
    return Outcome(process.returncode, stdout, stderr, work)
