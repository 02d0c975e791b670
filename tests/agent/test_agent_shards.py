"""What a node other than node 0 says of the checkpoints on its disk."""

import queue
from dataclasses import dataclass, field
from pathlib import Path

from sftjobs import names
from sftjobs.agent.logs import Log
from sftjobs.agent.shards import ShardUploader
from sftjobs.artifact.checkpoints import Place
from tests.support.agent_runner import AgentBench, until


@dataclass
class Node0:
    """Notes what it hears."""

    orders: "queue.SimpleQueue[int]" = field(default_factory=queue.SimpleQueue)
    heard: list[tuple[str, object]] = field(default_factory=list)

    def written(self, steps: list[int]) -> None:
        self.heard.append(("written", steps))

    def saved(self, step: int, problem: str = "") -> None:
        self.heard.append(("saved", (step, problem)))


def test_a_step_that_is_not_there_is_refused_at_once(bench: AgentBench, tmp_path: Path) -> None:
    plan, folder, node_0 = bench.plan(), tmp_path / "local", Node0()
    for step, ranks in ((2, (2, 3)), (4, (2,))):
        for rank in ranks:
            (folder / names.step_folder(step) / names.rank_folder(rank)).mkdir(parents=True)
            (folder / names.step_folder(step) / names.rank_folder(rank) / "state").write_text("x")
    place = Place(bench.store, plan.kind, plan.key, 1)
    uploader = ShardUploader(place, 1, (2, 3), folder, Log([], lambda data: None), node_0)
    until(lambda: node_0.heard == [("written", [2])], "what is complete")
    node_0.orders.put(2)
    until(lambda: node_0.heard[1:] == [("saved", (2, ""))], "the part to be uploaded", 10)
    node_0.orders.put(4)
    until(lambda: ("saved", (4, "it is not complete here")) in node_0.heard, "the refusal", 10)
    uploader.abort()
