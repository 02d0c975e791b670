"""Killed at any moment and started again, a run comes to the artifacts of an undisturbed one."""

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sftjobs import names
from sftjobs.spec.run import StoreSpec
from sftjobs.store.open import open_store
from tests.support import seaweed
from tests.support.whole_run import PATIENCE_S, RUN_YAML, STAGES, STEPS, Running, WholeRun, make_inputs

KILL, TERM = signal.SIGKILL, signal.SIGTERM


@dataclass(frozen=True)
class Kill:
    """Send `number` to a process of the stage (or to the controller) at a moment of the stage."""

    stage: str
    who: str
    """controller, agent or program."""
    number: signal.Signals
    phase: str = ""
    """Of the program; empty: some time after the agent has started."""
    step: int = 0


KILLS = (
    Kill("data", "program", KILL),
    Kill("data", "controller", KILL),
    Kill("data", "agent", KILL),
    Kill("train", "controller", TERM),
    Kill("train", "agent", TERM, "train", 5),
    Kill("train", "program", KILL, "train", STEPS // 4),
    Kill("train", "agent", KILL, "train", STEPS // 3),
    Kill("train", "controller", KILL, "train", STEPS // 2),
    Kill("train", "program", TERM, "train", STEPS * 2 // 3),
    Kill("eval-base", "agent", KILL),
    Kill("eval-base", "program", KILL),
    Kill("eval-tuned", "controller", KILL),
    Kill("eval-tuned", "agent", TERM),
    Kill("eval-tuned", "program", KILL),
    Kill("compare", "program", KILL),
    Kill("compare", "agent", KILL),
    Kill("compare", "controller", KILL),
)
"""Per stage in this order. After TERM to the agent of a training there is a checkpoint, however fast the machine is."""


class Killer:
    """Keeps a run going and kills what the plan says."""

    def __init__(self, whole: WholeRun, kills: tuple[Kill, ...], seed: int = 7) -> None:
        self.whole = whole
        self.done: list[Kill] = []
        self.starts = 0
        self.first_steps: list[int] = []
        """First training step that each attempt reported, in the order in which they were seen."""
        self._queues = {stage: [kill for kill in kills if kill.stage == stage] for stage in STAGES}
        self._random = random.Random(seed)
        self._delays: dict[tuple[Path, str], float] = {}
        self._seen: set[Path] = set()

    def run(self) -> None:
        """Start the run again and again until it succeeds; each deadline is that of one start."""
        while True:
            self.starts += 1
            assert self.starts <= 2 * len(KILLS), f"no end after {self.starts} starts: {self.whole.endings()}"
            with self.whole.start("run") as running:
                if self._until_it_ends(running) == 0:
                    return

    def _until_it_ends(self, running: Running) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while running.is_running():
            assert time.monotonic() < deadline, f"no end: {running.text}"
            for stage, queue in self._queues.items():
                if queue and self._strike(queue[0], running):
                    self.done.append(queue.pop(0))
                self._note_first_step(stage)
            time.sleep(0.02)
        return running.wait()

    def _strike(self, kill: Kill, running: Running) -> bool:
        """True if it is the moment and the process was there."""
        target = self.whole.program(kill.stage) if kill.who == "program" else self.whole.agent(kill.stage)
        if target is None or not self._is_time(kill):
            return False
        pid = running.process.pid if kill.who == "controller" else target.pid
        try:
            os.kill(pid, kill.number)
        except ProcessLookupError:
            return False
        if kill.who == "controller":
            running.wait()
        return True

    def _is_time(self, kill: Kill) -> bool:
        if kill.phase:
            return self.whole.reached(kill.stage, kill.phase, kill.step)
        folder = self.whole.job(kill.stage)
        if folder is None:
            return False
        delay = self._delays.setdefault((folder, kill.who), self._random.uniform(0.0, 0.8))
        return time.time() - (folder / "pid").stat().st_mtime >= delay

    def _note_first_step(self, stage: str) -> None:
        folder = self.whole.job(stage) if stage == "train" else None
        if folder is not None and folder not in self._seen and self.whole.reached(stage):
            self._seen.add(folder)
            self.first_steps.append(self.whole.progress(stage)[1])

    def assert_all_done(self) -> None:
        left = [kill for queue in self._queues.values() for kill in queue]
        assert not left, f"their moment never came: {left}"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[WholeRun]:
    """The inputs of the undisturbed run, and an empty store."""
    whole = WholeRun(make_inputs(tmp_path / "run"))
    yield whole
    whole.kill_all()


def test_killed_at_any_moment_it_ends_as_if_undisturbed(undisturbed: WholeRun, fresh: WholeRun) -> None:
    killer = Killer(fresh, KILLS)
    killer.run()
    killer.assert_all_done()
    print(f"{len(killer.done)} kills, {killer.starts} starts, attempts: {fresh.endings()}")
    print(f"resumed from {fresh.resumed_from()}; first steps seen {killer.first_steps}")
    assert_as_undisturbed(fresh, undisturbed)
    assert min(fresh.resumed_from()) >= 5
    assert len(fresh.resumed_from()) >= 3, "every attempt after the first checkpoint went on from one"
    assert all(step > 5 for step in killer.first_steps[1:]), "an attempt began again with the first step"


def assert_as_undisturbed(whole: WholeRun, undisturbed: WholeRun) -> None:
    """Same keys, same artifacts, one COMMIT for each key, every attempt closed, nobody at work."""
    assert whole.keys() == undisturbed.keys()
    assert whole.digests() == undisturbed.digests()
    assert len(whole.digests()) == len(STAGES)
    expected = sorted(commit for commit in undisturbed.objects(names.COMMIT))
    assert whole.objects(names.COMMIT) == expected
    endings = whole.endings()
    assert all(attempts.count("committed") == 1 and attempts[-1] == "committed" for attempts in endings.values())
    assert not whole.live()
    assert whole.json("status", "whole")["state"] == "succeeded"


@pytest.fixture
def on_s3(tmp_path: Path) -> Iterator[WholeRun]:
    """The same inputs, and an empty prefix on a real S3 server."""
    folder = make_inputs(tmp_path / "run")
    environ = {"TEST_ACCESS_KEY": seaweed.ACCESS_KEY, "TEST_SECRET_KEY": seaweed.SECRET_KEY}
    with seaweed.seaweed(tmp_path) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        spec = StoreSpec.model_validate(
            {
                "uri": f"s3://{seaweed.BUCKET}/whole",
                "endpoint": server.endpoint,
                "region": "us-east-1",
                "access_key": {"env": "TEST_ACCESS_KEY"},
                "secret_key": {"env": "TEST_SECRET_KEY"},
            }
        )
        (folder / "run.yaml").write_text(f"{RUN_YAML}store: {spec.model_dump_json()}\n", encoding="utf-8")
        whole = WholeRun(folder, open_store(spec, folder), environ)
        yield whole
        whole.kill_all()


S3_KILLS = (
    Kill("train", "agent", TERM, "train", 5),
    Kill("train", "agent", KILL, "train", STEPS // 2),
    Kill("eval-tuned", "controller", KILL),
)


def test_on_s3_the_same_artifacts_come_out(undisturbed: WholeRun, on_s3: WholeRun, tmp_path: Path) -> None:
    killer = Killer(on_s3, S3_KILLS)
    killer.run()
    killer.assert_all_done()
    assert_as_undisturbed(on_s3, undisturbed)
    assert len(on_s3.resumed_from()) == 2
    assert "5 of 5 stages cached" in on_s3.cli("run")
    on_s3.cli("pull", "whole", "model", str(tmp_path / "model"))
    tuned = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert tuned == undisturbed.content("train", "model/model.safetensors").read_bytes()
    assert "committed" in on_s3.cli("logs", "whole", "train")
    assert on_s3.run_id() in on_s3.cli("ls")
