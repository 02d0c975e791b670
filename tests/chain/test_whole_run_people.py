"""What people do to a run while it works: Ctrl-C, TERM, cancel, a look at it; and what becomes of damaged files."""

import json
import signal
from collections.abc import Iterator

import psutil
import pytest

from sftjobs import names
from tests.support.whole_run import STEPS, Running, WholeRun

SILENT_S = "8"
"""Above the 5 s between heartbeats, so that an agent at work is never called stalled on an idle machine."""


@pytest.fixture
def training(whole_copy: WholeRun) -> Iterator[WholeRun]:
    """A run of which data and base model are done, and training has to be done again."""
    for stage in ("compare", "eval-tuned", "train"):
        assert f"discarded {stage}" in whole_copy.cli("discard", "whole", stage, "--yes")
    assert sorted(whole_copy.digests()) == ["data", "eval-base"]
    yield whole_copy


def test_stopped_left_cancelled_and_resumed(training: WholeRun, undisturbed: WholeRun) -> None:
    _ctrl_c_once(training)
    held = _term_and_adopt(training)
    _cancel(training, held)
    _ctrl_c_twice(training)
    _look_while_it_works(training)
    assert training.endings()["train"] == ["stopped", "cancelled", "stopped", "committed"]
    resumed = sorted(training.resumed_from())
    assert len(resumed) == 3, "each attempt but the first went on from a checkpoint"
    assert 5 <= resumed[0] < resumed[1] <= resumed[2] < STEPS
    assert training.digests() == undisturbed.digests()
    assert not training.live()
    _every_attempt_is_in_the_report(training)
    _collect_garbage(training, undisturbed)


def _ctrl_c_once(whole: WholeRun) -> None:
    """The stage saves and stops; the command says so and ends with 130."""
    with whole.start("run") as running:
        whole.wait_for(lambda: whole.reached("train", step=5), "training", running)
        running.ctrl_c()
        assert running.wait() == 130
    assert "stopping: the running stage saves a checkpoint first" in running.text
    assert "is stopped; the same command goes on where it was" in running.text
    assert not whole.live()
    assert whole.saved_steps()[-1] >= 5
    assert whole.json("status", "whole")["state"] == "stopped"


def _every_attempt_is_in_the_report(whole: WholeRun) -> None:
    """With what it lost; of a queue nothing is known here."""
    report = json.loads(whole.store.get(names.report_file(whole.run_id(), "json")).body)
    rows = [row for row in report["attempts"]["rows"] if row["stage"] == "train"]
    assert [row["failure"] for row in rows] == whole.endings()["train"]
    assert all(row["queue_s"] is None and 0 < row["wasted_s"] <= row["run_s"] for row in rows)
    saved_at_its_end, committed = rows[0], rows[-1]
    for row in (saved_at_its_end, committed):
        assert row["prepare_s"] <= row["wasted_s"] < row["run_s"]
    assert report["attempts"]["total"]["wasted_s"] >= sum(row["wasted_s"] for row in rows)


def _term_and_adopt(whole: WholeRun) -> psutil.Process:
    """TERM to the controller: the agent goes on, and the next command takes it over instead of starting another.

    Returns the training, which is held where it is.
    """
    with whole.start("run") as running:
        whole.wait_for(lambda: whole.reached("train", step=STEPS // 5), "training goes on", running)
        agent, program = whole.agent("train"), _suspended(whole)
        running.send(signal.SIGTERM)
        assert running.wait() == 20
    assert "its jobs go on; the same command takes over again" in running.text
    assert agent is not None
    assert agent.is_running()
    attempts = len(whole.attempts("train"))
    assert whole.json("status", "whole")["state"] == "interrupted"
    with whole.start("run") as running:
        whole.wait_for(lambda: _controls(running), "the agent is adopted", running)
        assert len(whole.attempts("train")) == attempts
        assert whole.agent("train") == agent
        running.send(signal.SIGTERM)
        assert running.wait() == 20
    return program


def _cancel(whole: WholeRun, program: psutil.Process) -> None:
    """`sftjobs cancel` from another process."""
    with whole.start("run") as running:
        whole.wait_for(lambda: _controls(running), "the agent is adopted again", running)
        assert "asked its controller" in whole.cli("cancel", "whole")
        program.resume()
        assert running.wait() == 3
    assert "was cancelled; `sftjobs resume" in running.text
    assert whole.json("status", "whole")["state"] == "cancelled"
    assert not whole.live()
    assert "has ended already" in whole.cli("cancel", "whole", code=10)


def _ctrl_c_twice(whole: WholeRun) -> None:
    """A program that cannot save is ended at once; `sftjobs resume` had gone on from the checkpoint."""
    with whole.start("resume", "whole") as running:
        whole.wait_for(lambda: whole.reached("train"), "training is resumed", running)
        _suspended(whole)
        running.ctrl_c()
        whole.wait_for(lambda: "Ctrl-C again" in running.text, "the first Ctrl-C is answered", running)
        running.ctrl_c()
        assert running.wait() == 130
    assert "ending at once; what was saved before stays" in running.text
    assert not whole.live()


def _look_while_it_works(whole: WholeRun) -> None:
    """Logs arrive while the stage runs; a stage whose agent is silent is called stalled, and comes back."""
    with whole.start("run") as running:
        whole.wait_for(lambda: whole.reached("train"), "training", running)
        program, agent = _suspended(whole), whole.agent("train")
        assert agent is not None
        with whole.start("logs", "-f", "whole", "train") as logs:
            whole.wait_for(lambda: "going on from the checkpoint" in logs.text, "a line of the log", logs)
            whole.wait_for(lambda: _state_of_train(whole) == "running", "a heartbeat in time", running)
            agent.suspend()
            whole.wait_for(lambda: _state_of_train(whole) == "stalled", "stalled", running)
            agent.resume()
            whole.wait_for(lambda: _state_of_train(whole) == "running", "not stalled any more", running)
            program.resume()
            _succeeds(running)
            assert logs.wait() == 0
            assert "committed (exit 0)" in logs.text


def _controls(running: Running) -> bool:
    return "train          running" in running.text


def _suspended(whole: WholeRun) -> psutil.Process:
    """The training, held where it is: what a test does next must not depend on the speed of the machine."""
    program = whole.program("train")
    assert program is not None
    program.suspend()
    return program


def _state_of_train(whole: WholeRun) -> str:
    stages = whole.json("status", "whole", "--stalled-after", SILENT_S)["stages"]
    return str(next(stage["state"] for stage in stages if stage["name"] == "train"))


def _succeeds(running: Running) -> None:
    assert running.wait() == 0, running.text


def _collect_garbage(whole: WholeRun, undisturbed: WholeRun) -> None:
    """What attempts left behind goes, and only that."""
    found = whole.json("gc", "--grace", "0")
    assert not found["deleted"]
    assert list(found["found"]) == ["left behind by attempts that did not win"]
    assert any("/ckpt/" in key for key in found["found"]["left behind by attempts that did not win"])
    assert whole.json("gc", "--grace", "0") == found, "a dry run changes nothing"
    assert whole.json("gc", "--grace", "0", "--delete") == {**found, "deleted": True}
    assert "nothing to delete" in whole.cli("gc", "--grace", "0")
    assert "5 of 5 stages cached" in whole.cli("run")
    assert whole.digests() == undisturbed.digests()


def test_a_damaged_file_is_named_and_its_stage_can_be_made_again(whole_copy: WholeRun, undisturbed: WholeRun) -> None:
    damaged = whole_copy.content("compare", "comparison.json")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    shown = whole_copy.cli("run", code=3)
    assert "content/comparison.json" in shown
    run_id = whole_copy.run_id()
    assert f"sftjobs discard {run_id} compare" in shown
    whole_copy.cli("discard", run_id, "compare", "--yes")
    assert "4 of 5 stages cached" in whole_copy.cli("run")
    assert whole_copy.digests() == undisturbed.digests()


def test_another_learning_rate_by_two_runs_at_once_over_a_damaged_file(
    whole_copy: WholeRun, undisturbed: WholeRun
) -> None:
    """`explain` names the field; a file that is damaged without a trace stops the training; each stage is made once."""
    whole = whole_copy
    whole.change("learning_rate: 1e-2", "learning_rate: 2e-2")
    whole.change("name: whole", "name: second", to="second.yaml")
    explained = {stage["stage"]: stage for stage in whole.json("explain")}
    assert {name for name, stage in explained.items() if stage["cached"]} == {"data", "eval-base"}
    assert [change["field"] for change in explained["train"]["changed"]] == ["config.learning_rate"]
    assert "config.learning_rate: 0.01 -> 0.02" in whole.cli("explain")

    _flip_a_bit(whole)
    whole.cli("discard", "whole", "data", "--yes")
    claims, before = whole.objects(names.CLAIM), whole.endings()
    assert before == {"train": ["config"]}
    with whole.start("run") as first, whole.start("run", "second.yaml") as second:
        _succeeds(first)
        _succeeds(second)
    both = [whole.endings("whole"), whole.endings("second")]
    for stage in ("data", "train", "eval-tuned", "compare"):
        endings = [ending for run in both for ending in run.get(stage, [])][len(before.get(stage, [])) :]
        # Both may see in the same moment that the stage is free; the agent that comes second leaves before it works.
        assert "committed" in endings, f"{stage}: {both}"
        assert len(endings) <= 2, f"{stage}: {both}"
        assert set(endings) <= {"committed", "busy"}, f"{stage}: {both}"
    assert all("eval-base" not in run for run in both), "the base model was evaluated again"
    assert whole.keys("whole") == whole.keys("second")
    assert len(set(whole.objects(names.CLAIM)) - set(claims)) == 4, "a second agent began to work on a stage key"
    same = [stage for stage, digest in whole.digests().items() if undisturbed.digests()[stage] == digest]
    assert same == ["data", "eval-base"]


def _flip_a_bit(whole: WholeRun) -> None:
    """In the training data, with its size kept: the training that reads it names file and way out."""
    damaged = whole.content("data", "train.jsonl")
    body = bytearray(damaged.read_bytes())
    body[10] ^= 1
    damaged.write_bytes(bytes(body))
    shown = whole.cli("run", code=10)
    assert "content/train.jsonl" in shown
    assert f"sftjobs discard {whole.run_id()} data" in shown
