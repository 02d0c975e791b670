"""A stage program without torch whose config says what it shall do. `python -m tests.support.stage_program`

text        what it writes, after what its inputs hold
counter     a file that counts how often it was started
plan        list of exit codes, one per start; the last one holds for all further starts. 0 = write the output
wait_for    a file that must exist before it ends; SIGTERM in between makes it save and stop
deaf        do not react to SIGTERM while waiting
"""

import os
import sys
import time
from pathlib import Path

from sftjobs.errors import DataError
from sftjobs.program import Program, Stopped, main


def run(program: Program) -> None:
    config = program.plan.config
    code = _code(config.get("counter"), config.get("plan", [0]))
    program.progress("work", 1, 2, "steps")
    if "stamp" in config:
        Path(config["stamp"]).write_text(str(_process_started()))
    _wait(program, config.get("wait_for"), bool(config.get("deaf")))
    if code == 10:
        raise DataError("labels: 'x' is not a label")
    if code != 0:
        print(f"about to end with {code}", file=sys.stderr)
        sys.exit(code)
    words = [(program.input(name) / "out.txt").read_text() for name in sorted(program.plan.inputs)]
    (program.content / "out.txt").write_text("+".join([*words, config.get("text", program.plan.stage)]))
    program.write_counts({"words": len(words) + 1})
    program.progress("work", 2, 2, "steps")


def _process_started() -> float:
    """To 10 ms: the kernel counts in ticks since boot (proc(5), field 22 of stat)."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def _code(counter: str | None, codes: list[int]) -> int:
    if counter is None:
        return codes[0]
    with Path(counter).open("a+") as file:
        file.write("x")
        started = file.tell()
    return codes[min(started, len(codes)) - 1]


def _wait(program: Program, path: str | None, deaf: bool) -> None:
    while path is not None and not Path(path).exists():
        if program.stop_requested and not deaf:
            raise Stopped("saved nothing, there is nothing to save")
        time.sleep(0.02)


if __name__ == "__main__":
    main(run)
