"""Trainings with several ranks, each a real process: cases that share their processes, so that libraries load once.

results = run_ranks(2, {"ddp": Case(config, inputs), "zero-2": Case(...)}, folder)
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sftjobs.plan.configs import TrainConfig
from sftjobs.plan.types import Operation
from tests.support.program_runner import REPOSITORY, Outcome, environment, stage_plan


@dataclass(frozen=True)
class Case:
    """One training."""

    config: TrainConfig
    inputs: Mapping[str, Path]
    resume: Path | None = None
    term_rank: int | None = None
    """This rank gets SIGTERM during `term_step`."""
    term_step: int = 0
    operation: Operation | None = None
    key_of: TrainConfig | None = None
    """The plan has the stage key of this config: to try what the key would hide."""


@dataclass(frozen=True)
class Result:
    """What the ranks of a case left."""

    outcome: Outcome
    codes: list[int]
    messages: list[str]


def run_ranks(world: int, cases: Mapping[str, Case], folder: Path, timeout_s: float = 600) -> dict[str, Result]:
    """Run the cases one after another on `world` ranks; a rank that dies fails the test with its log."""
    written = []
    for name, case in cases.items():
        work = folder / name.replace(" ", "-")
        plan = stage_plan("jobs.train", case.config, case.inputs, operation=case.operation)
        if case.key_of is not None:
            plan = plan.model_copy(update={"key": stage_plan("jobs.train", case.key_of, case.inputs).key})
        environ = environment(plan, case.inputs, work, case.resume)
        resume = {"SFTJOBS_RESUME": str(case.resume or "")}
        written.append(
            {
                "work": str(work),
                "environ": environ | resume,
                "term_rank": case.term_rank,
                "term_step": case.term_step,
            }
        )
    (folder / "cases.json").write_text(json.dumps(written))
    processes = [_start(rank, world, folder) for rank in range(world)]
    until = time.monotonic() + timeout_s
    try:
        while any(process.poll() is None for process in processes) and time.monotonic() < until:
            if any(process.returncode for process in processes):
                until = min(until, time.monotonic() + 20)  # the others wait for it in vain
            time.sleep(0.2)
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGUSR1)  # leaves the stacks in its log
                time.sleep(1)
                process.kill()
            process.wait()
    logs = "\n".join((folder / f"log-{rank}.txt").read_text()[-6000:] for rank in range(world))
    assert all(process.returncode == 0 for process in processes), logs
    return {name: _result(Path(str(one["work"])), world, logs) for name, one in zip(cases, written, strict=True)}


def _start(rank: int, world: int, folder: Path) -> "subprocess.Popen[str]":
    environ = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "tests.support.rank_worker", str(folder / "cases.json")]
    with (folder / f"log-{rank}.txt").open("w") as log:
        return subprocess.Popen(command, cwd=REPOSITORY, env=environ, stdout=log, stderr=log, text=True)


def _result(work: Path, world: int, logs: str) -> Result:
    ends = [json.loads((work / f"end-{rank}.json").read_text()) for rank in range(world)]
    return Result(Outcome(0, logs, "", work), [end["code"] for end in ends], [end["message"] for end in ends])
