"""What the agent sees of ranks that end at an awkward moment."""

import subprocess
from pathlib import Path

from sftjobs.agent.group.leader import Leader
from sftjobs.agent.heartbeat import Heart
from sftjobs.agent.logs import Log
from sftjobs.agent.progress import Progress
from sftjobs.agent.ranks import Rank, Ranks
from sftjobs.agent.stop import Stop
from sftjobs.agent.supervise import Supervisor
from sftjobs.plan.types import Operation
from sftjobs.store.folder import FolderStore


class EndsAfterTheFirstLook(Ranks):
    """A rank that ends right after somebody saw it running."""

    def codes(self) -> list[int | None]:
        found = super().codes()
        for item in self.ranks:
            if item.process.stdin is not None:
                item.process.stdin.close()
            item.process.wait()
        return found


def test_a_rank_that_ends_between_two_looks_did_not_end_well(tmp_path: Path) -> None:
    command = ["sh", "-c", "read line; exit 20"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)
    ranks = EndsAfterTheFirstLook([Rank(0, process, tmp_path / "error.json", tmp_path / "phase.json")])
    store, progress = FolderStore(tmp_path / "store"), Progress(tmp_path / "progress.jsonl")
    heart = Heart(store, "heartbeat", progress)
    log = Log([], lambda _: None)
    alone = Leader(1, "", 0, log.say, lambda: None)
    supervisor = Supervisor(ranks, 1, Operation(), progress, Stop(), lambda: False, heart, log, alone)
    outcome = supervisor.watch()
    heart.close("done")
    assert [end.code for end in outcome.ends] == [20]
