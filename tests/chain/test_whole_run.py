"""One command from real data to a compared model: what it prints, and every verb on what is left."""

import json
import time
from pathlib import Path

import pytest

from sftjobs.runs import current_session
from tests.support.whole_run import STAGES, WholeRun


def test_an_undisturbed_run_ends_with_the_comparison_and_a_report(undisturbed: WholeRun) -> None:
    shown = (undisturbed.folder / "first.txt").read_text(encoding="utf-8")
    for row in ("accuracy", "base", "tuned", "difference to base", "95 % interval", "p", "verdict"):
        assert any(line.startswith(row) for line in shown.splitlines()), f"{row} is missing in\n{shown}"
    path = Path(shown.rpartition("report: ")[2].strip())
    assert "</html>" in path.read_text(encoding="utf-8")
    assert undisturbed.endings() == {stage: ["committed"] for stage in STAGES}
    assert not undisturbed.live()


def test_report_json_has_the_numbers_that_were_printed(undisturbed: WholeRun) -> None:
    report = undisturbed.json("report", "whole")
    assert report["text"] in (undisturbed.folder / "first.txt").read_text(encoding="utf-8")
    comparison = json.loads(undisturbed.content("compare", "comparison.json").read_text(encoding="utf-8"))
    tuned = json.loads(undisturbed.content("eval-tuned", "scores.json").read_text(encoding="utf-8"))
    numbers = json.dumps(report)
    assert json.dumps(tuned["metrics"]["accuracy"]["value"]) in numbers
    assert json.dumps(comparison["pairs"][0]["p"]) in numbers


def test_verbs_that_look(undisturbed: WholeRun, tmp_path: Path) -> None:
    run_id = undisturbed.run_id()
    status = undisturbed.json("status", "whole")
    assert status["state"] == "succeeded"
    assert {stage["name"] for stage in status["stages"]} == set(STAGES)
    assert run_id in undisturbed.cli("ls")
    assert "committed" in undisturbed.cli("logs", "whole", "train")
    assert all(stage["cached"] for stage in undisturbed.json("explain"))
    undisturbed.cli("report", "whole", "--html", str(tmp_path / "copy.html"))
    assert "</html>" in (tmp_path / "copy.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("what", ["model", "adapter", "ledger", "review", "bad-cases", "predictions"])
def test_pull(undisturbed: WholeRun, tmp_path: Path, what: str) -> None:
    stage, path = {
        "model": ("train", "model/model.safetensors"),
        "adapter": ("train", "adapter/adapter_model.safetensors"),
        "ledger": ("data", "ledger.parquet"),
        "review": ("data", "review.csv"),
        "bad-cases": ("compare", "bad_cases.jsonl"),
        "predictions": ("eval-tuned", "predictions.jsonl"),
    }[what]
    assert "verified" in undisturbed.cli("pull", "whole", what, str(tmp_path / what))
    pulled = (tmp_path / what / Path(path).name).read_bytes()
    assert pulled == undisturbed.content(stage, path).read_bytes()


def test_the_same_command_again_runs_nothing(undisturbed: WholeRun) -> None:
    jobs = sorted(undisturbed.folder.glob(".sftjobs/local/jobs/*/*"))
    began = time.monotonic()
    shown = undisturbed.cli("run")
    seconds = time.monotonic() - began
    assert "5 of 5 stages cached" in shown
    assert sorted(undisturbed.folder.glob(".sftjobs/local/jobs/*/*")) == jobs, "an agent was started"
    assert undisturbed.endings() == {stage: ["committed"] for stage in STAGES}
    print(f"the same command again: {seconds:.2f} s")


def test_a_pushed_run_is_cached_wherever_it_is_started(undisturbed: WholeRun, tmp_path: Path) -> None:
    undisturbed.cli("push", "run.yaml", "--to", str(tmp_path / "elsewhere.yaml"))
    shown = undisturbed.cli("run", "elsewhere.yaml", cwd=tmp_path)
    assert "5 of 5 stages cached" in shown
    pushed = undisturbed.run_id()
    session = current_session(undisturbed.store, pushed)
    assert session is not None
    assert sorted(session.committed) == sorted(STAGES)
    assert not list(tmp_path.glob(".sftjobs/local/jobs/*/*")), "an agent was started"
