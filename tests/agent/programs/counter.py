"""A stage program without torch: a chain of hashes, so that each step depends on all before it.

The environment variable TEST_AT_<step> makes it misbehave at that step: it is not in the stage key, so a disturbed and
an undisturbed attempt work on the same stage.
"""

import atexit
import ctypes
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from sftjobs.errors import DataError, SftError
from sftjobs.program import Program, Stopped, main


def run(program: Program) -> None:
    """Config: steps, checkpoint_every."""
    config = program.plan.config
    source = program.input_file("source").read_text() if "source" in program.plan.inputs else ""
    start, state = load(program)
    for step in range(start + 1, config["steps"] + 1):
        misbehave(program, os.environ.get(f"TEST_AT_{step}", ""))
        state = hashlib.sha256(f"{state}{source}{step}{program.rank}".encode()).hexdigest()
        program.progress("count", step, config["steps"], "steps", loss=1 / step)
        if program.stop_requested:
            save(program, step, state)
            raise Stopped(f"step {step} is saved")
        if step % config["checkpoint_every"] == 0:
            save(program, step, state)
    (program.content / f"state-{program.rank}.txt").write_text(state)
    (program.info / f"time-{program.rank}.txt").write_text(str(time.time()))
    program.write_counts({"steps": config["steps"]})


def load(program: Program) -> tuple[int, str]:
    """Step and state of the checkpoint to go on from."""
    if program.resume is None:
        print("fresh start", flush=True)
        return 0, ""
    saved = json.loads(next(program.resume.glob(f"rank-*{program.rank}/state.json")).read_text())
    print(f"resumed at step {saved['step']}", flush=True)
    return saved["step"], saved["state"]


def save(program: Program, step: int, state: str) -> None:
    folder = program.new_checkpoint(step)
    (folder / "state.json").write_text(json.dumps({"step": step, "state": state}))
    program.finish_checkpoint(folder)


def misbehave(program: Program, action: str) -> None:
    name, _, value = action.partition(":")
    rank, _, name = name.rpartition("/")
    if rank and int(rank) != program.rank:
        return
    if name == "wait":
        Path(value, f"reached-{program.rank}").touch()
        while not Path(value, "go").exists() and not program.stop_requested:
            program.progress("waiting", 0)
            time.sleep(0.02)
    elif name == "print":
        print(value, flush=True)
    elif name == "slow":
        time.sleep(float(value))
    elif name == "hang":
        while True:
            time.sleep(1)
    elif name == "raise":
        raise RuntimeError(value)
    elif name == "data-error":
        raise DataError(value)
    elif name == "crash-on-the-way-out":  # as threads of libraries do whose peers are gone
        atexit.register(os.abort)
        if value:
            raise DataError(value)
    elif name == "error":
        raise SftError(value)
    elif name == "fill":
        try:
            with Path(value, "filler").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError as error:
            raise SftError(f"it is full: {error}") from error
    elif name == "said-and-slow":  # it closes something that takes long
        program.at_end(lambda code: time.sleep(600))
        raise DataError(value)
    elif name == "exit":
        os._exit(int(value))
    elif name == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "throw":  # and nobody catches it
        ctypes.CDLL("libstdc++.so.6")["_ZSt20__throw_length_errorPKc"](value.encode())
    elif name == "abort":
        print(value, file=sys.stderr, flush=True)
        os.abort()
    elif name == "segfault":
        ctypes.string_at(0)
    elif name == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        misbehave(program, f"wait:{value}")


if __name__ == "__main__":
    main(run)
