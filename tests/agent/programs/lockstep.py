"""A stage program on several ranks, without torch: they agree at every step through rank 0, as a training does.

Content: one chain of hashes over the states of all ranks, so that a part of a checkpoint that is of another step shows.
TEST_AT_<step> makes ranks misbehave, as in counter.py; `<rank>/...` means one of them.
`<rank>/lost:`: what it says to the others at that step is lost on the way. TEST_SAVE_<step> is done before a part of
that checkpoint is written, TEST_AT_END when all work is done. TEST_PEER_GONE is what they do when they notice that one
of them is gone, instead of saying so.
"""

import hashlib
import json
import os
import socket
import time
from typing import NoReturn

from counter import misbehave  # the folder of the programs is on the path

from sftjobs.errors import PeerError
from sftjobs.phases import Phase
from sftjobs.program import Program, Stopped, main


class Ranks:
    """The other ranks, by sockets: every rank says a line, and hears those of all."""

    def __init__(self, program: Program) -> None:
        self.program, self.rank, self.world = program, program.rank, program.world_size
        address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        if self.rank:
            self.files = [_connect(address).makefile("rw")]
            self.say(self.files[0], self.rank)
            return
        with socket.create_server(("", address[1]), backlog=self.world) as server:
            accepted = [server.accept()[0].makefile("rw") for _ in range(self.world - 1)]
        self.files = [file for _, file in sorted((self.hear(file), file) for file in accepted)]

    def gather(self, mine: object) -> list:
        """What every rank says, by rank."""
        if self.rank:
            self.say(self.files[0], mine)
            return self.hear(self.files[0])
        everything = [mine, *(self.hear(file) for file in self.files)]
        for file in self.files:
            self.say(file, everything)
        return everything

    def say(self, file, value: object) -> None:
        try:
            print(json.dumps(value), file=file, flush=True)
        except OSError as error:
            self.gone(str(error))

    def hear(self, file):
        try:
            line = file.readline()
        except OSError as error:
            self.gone(str(error))
        if not line:
            self.gone("connection closed by peer")
        return json.loads(line)

    def gone(self, why: str) -> NoReturn:
        misbehave(self.program, os.environ.get("TEST_PEER_GONE", ""))
        raise PeerError(f"communication between ranks failed: {why}")


def _connect(address: tuple[str, int]) -> socket.socket:
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(address, 20)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def run(program: Program) -> None:
    """Config: steps, checkpoint_every."""
    config = program.plan.config
    assert int(os.environ["GROUP_RANK"]) == program.rank // program.plan.resources.processes_per_node
    ranks = Ranks(program)
    step, state = load(program)
    while step < config["steps"]:
        step += 1
        action = os.environ.get(f"TEST_AT_{step}", "")
        program.doing(Phase.DATA, step)
        misbehave(program, action)
        program.doing(Phase.AGREE, step)
        if action == f"{program.rank}/lost:":
            ranks.hear(ranks.files[0])
        said = ranks.gather([program.stop_requested, step, state, program.may_save])
        assert {one[1] for one in said} == {step}, said
        state = hashlib.sha256(json.dumps([program.rank, [one[2] for one in said]]).encode()).hexdigest()
        program.progress("count", step, config["steps"], "steps", loss=1 / step)
        stop = any(one[0] for one in said)
        if stop or (step % config["checkpoint_every"] == 0 and said[0][3]):  # rank 0 decides, as in training
            program.doing(Phase.SAVE, step)
            misbehave(program, os.environ.get(f"TEST_SAVE_{step}", ""))
            folder = program.new_checkpoint(step)
            (folder / "state.json").write_text(json.dumps({"step": step, "state": state}))
            program.finish_checkpoint(folder)
        if stop:
            raise Stopped(f"step {step} is saved")
    if program.rank == 0:
        (program.content / "state.txt").write_text(state)
    ranks.gather("done")
    misbehave(program, os.environ.get("TEST_AT_END", ""))


def load(program: Program) -> tuple[int, str]:
    if program.resume is None:
        print("fresh start", flush=True)
        return 0, ""
    (program.resume / "rank-00000" / "state.json").read_text()  # rank 0's part is on every node
    saved = json.loads((program.resume / f"rank-{program.rank:05d}" / "state.json").read_text())
    print(f"resumed at step {saved['step']}", flush=True)
    return saved["step"], saved["state"]


if __name__ == "__main__":
    main(run)
