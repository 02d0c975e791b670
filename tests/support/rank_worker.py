"""One rank of trainings that are run one after another in the same process: libraries are loaded once.

RANK=0 WORLD_SIZE=2 ... python -m tests.support.rank_worker cases.json

Each case is a whole train program with a process group of its own, started as the agent would. What a rank ends with
is in `<work>/end-<rank>.json`: the exit code of the contract and the message.
"""

import faulthandler
import gc
import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch.distributed as dist

from jobs.train.__main__ import run
from sftjobs.errors import SftError
from sftjobs.names import Exit
from sftjobs.program import Program, Stopped


def one(case: dict[str, Any], rank: int) -> tuple[int, str]:
    """Exit code and message of this rank."""
    os.environ.update(case["environ"])
    os.environ["MASTER_PORT"] = _meeting_place(Path(case["work"]) / "port", rank)
    program = Program(dict(os.environ))
    _signal_after(program, case, rank)
    try:
        run(program)
    except Stopped as stopped:
        return int(Exit.STOPPED), str(stopped)
    except SftError as error:
        return int(error.exit_code), str(error)
    except Exception as error:
        traceback.print_exc()
        return int(Exit.USER_ERROR), f"{type(error).__name__}: {error}"
    finally:
        _forget_ranks()
    return 0, ""


def _meeting_place(path: Path, rank: int) -> str:
    """A free port that rank 0 chooses now: one that was free minutes ago may be taken."""
    if rank == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            chosen = str(probe.getsockname()[1])
        path.with_suffix(".new").write_text(chosen)
        path.with_suffix(".new").rename(path)
    while not path.exists():
        time.sleep(0.02)
    return path.read_text()


def _signal_after(program: Program, case: dict[str, Any], rank: int) -> None:
    """A real SIGTERM to this process during the given step, if the case wants one for this rank."""

    def request_stop(_signal: int, _frame: object) -> None:
        program.stop_requested = True

    signal.signal(signal.SIGTERM, request_stop)
    if rank != case.get("term_rank"):
        return
    count = program.plan.config["steps"]
    wanted = case["term_step"]
    assert wanted <= count
    tell = program.progress

    def progress(phase: str, done: int, *values: Any, **more: Any) -> None:
        tell(phase, done, *values, **more)
        if phase == "train" and done == wanted:
            os.kill(os.getpid(), signal.SIGTERM)

    program.progress = progress  # type: ignore[method-assign]


def _forget_ranks() -> None:
    """The next case meets its ranks anew."""
    gc.collect()  # as the program does it, where it failed
    if dist.is_initialized():
        dist.destroy_process_group()
    os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)
    if "deepspeed" in sys.modules:
        import deepspeed
        from deepspeed.utils import groups

        deepspeed.comm.comm.cdb = None
        groups._release_process_group_references(group=None)
    gc.collect()
    gc.freeze()  # the train program collects several times; going over all of torch again takes half of a case


def main(path: Path) -> None:
    rank = int(os.environ["RANK"])
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed  # noqa: F401

    gc.collect()
    gc.freeze()
    for case in json.loads(path.read_text()):
        code, message = one(case, rank)
        end = Path(case["work"]) / f"end-{rank}.json"
        end.write_text(json.dumps({"code": code, "message": message}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
