"""Training on two nodes with two ranks each: killed in every way a group can be, it ends as if undisturbed."""

import json
import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.chain_runs import until
from tests.support.whole_run import PATIENCE_S, Running, WholeRun, make_inputs

NODES, RANKS, STEPS = 2, 2, 60


@dataclass(frozen=True)
class Blow:
    """A signal to one process of the training once it has reached a step."""

    step: int
    number: signal.Signals
    node: int
    rank: int | None
    """Local rank; None: the agent of the node."""


CHOSEN = (
    Blow(10, signal.SIGKILL, 1, 1),
    Blow(25, signal.SIGTERM, 1, None),
    Blow(40, signal.SIGKILL, 0, None),
)


def at_random(kills: int = 20, requests: int = 5, seed: int = 20) -> tuple[Blow, ...]:
    """So many KILLs and some requests to stop, each to an agent or a rank of either node."""
    draw = random.Random(seed)
    numbers = [signal.SIGKILL] * kills + [signal.SIGTERM] * requests
    draw.shuffle(numbers)
    return tuple(
        Blow(4 + 2 * index, number, draw.randrange(NODES), draw.choice([None, 0, 1]))
        for index, number in enumerate(numbers)
    )


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    """The same run, and nobody disturbs it."""
    whole = on_two_nodes(tmp_path_factory.mktemp("calm") / "run")
    whole.cli("run", timeout_s=2 * PATIENCE_S)
    return whole


@pytest.fixture
def disturbed(tmp_path: Path) -> Iterator[WholeRun]:
    whole = on_two_nodes(tmp_path / "run")
    yield whole
    whole.kill_all()


def on_two_nodes(folder: Path) -> WholeRun:
    whole = WholeRun(make_inputs(folder))
    whole.change("train: {threads", f"train: {{nodes: {NODES}, processes_per_node: {RANKS}, threads")
    whole.change("learning_rate: 1e-2, method: lora", "learning_rate: 1e-3, method: full")
    whole.change("backoff_s: 0.1", "backoff_s: 0, infrastructure: 30")  # many endings in a row would wait for long
    return whole


def losses(whole: WholeRun) -> list[str]:
    """What was written of each step and look: times differ, losses do not."""
    artifact = whole.content("train", "model/config.json").parents[2]
    lines = (artifact / "info" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    values = [json.loads(line) for line in lines]
    return [json.dumps({name: one[name] for name in ("step", "loss", "learning_rate")}) for one in values]


def process(whole: WholeRun, blow: Blow) -> psutil.Process | None:
    """Whom it hits; None while it is not there."""
    first = whole.job("train")
    if first is None:
        return None
    try:
        agent = psutil.Process(int((first.parent / str(blow.node) / "pid").read_text()))
        if blow.rank is None:
            return agent
        ranks = [child for child in agent.children() if child.environ().get("LOCAL_RANK") == str(blow.rank)]
        return ranks[0] if ranks else None
    except (psutil.Error, OSError, ValueError):
        return None


def strike(whole: WholeRun, running: Running, blow: Blow) -> None:
    """Not at the step at which the attempt before has ended: two that end alike would be no accident."""
    before = whole.attempts("train") if whole.job("train") is not None else []
    ends = [one.result.termination.step or 0 for one in before if one.result is not None]
    step = max([blow.step, *(end + 1 for end in ends[-1:])])

    def done() -> bool:
        assert running.is_running(), running.text
        victim = process(whole, blow) if whole.reached("train", step=step) else None
        if victim is None:
            return False
        try:
            victim.send_signal(blow.number)
        except psutil.Error:
            return False
        return True

    folder = whole.job("train")
    until(done, f"step {step} on node {blow.node}", PATIENCE_S)
    until(lambda: whole.job("train") != folder or folder is None, "the end of that attempt", PATIENCE_S)


def test_killed_again_and_again_it_ends_as_if_undisturbed(calm: WholeRun, disturbed: WholeRun) -> None:
    endure(calm, disturbed, CHOSEN)
    assert len(disturbed.endings()["train"]) > len(CHOSEN)
    first = disturbed.attempts("train")[0].result
    assert first is not None
    # The ranks of node 0 only saw their connection go.
    assert "rank 3 was killed from outside" in first.termination.message
    assert first.termination.rank == NODES * RANKS - 1


@pytest.mark.slow
def test_twenty_random_kills_change_nothing(calm: WholeRun, disturbed: WholeRun) -> None:
    """A quarter of an hour. A blow at random may hit a process of an attempt that is ending anyway."""
    blows = at_random()
    endure(calm, disturbed, blows)
    assert len(disturbed.endings()["train"]) > len(blows) / 2


def endure(calm: WholeRun, disturbed: WholeRun, blows: Sequence[Blow]) -> None:
    """The run under all these ends in every digest and every loss like the calm one."""
    with disturbed.start("run") as running:
        for blow in blows:
            strike(disturbed, running, blow)
        assert running.wait(2 * PATIENCE_S) == 0, running.text
    print(f"{len(blows)} blows, resumed from {sorted(disturbed.resumed_from())}, {disturbed.endings()['train']}")
    assert disturbed.digests() == calm.digests()
    assert losses(disturbed) == losses(calm)
    assert len(losses(calm)) == STEPS
    assert disturbed.endings()["train"].count("committed") == 1
    assert max(disturbed.resumed_from()) > 20
    assert not disturbed.live()
