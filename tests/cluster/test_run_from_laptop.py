"""`sftjobs run --backend kubernetes`: the chart without its controller, which is this process instead.

One run: stopped by Ctrl-C in the middle of training, resumed to its end, then handed to a controller in the cluster.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from sftjobs import names
from sftjobs.names import Exit
from tests.support.cluster_run import CHART, ClusterRun
from tests.support.whole_run import WholeRun

INTERRUPTED = 130


@pytest.fixture(scope="class")
def run(new_run: Callable[..., ClusterRun]) -> Iterator[ClusterRun]:
    made = new_run("laptop")
    # cluster.yaml is about pods: this machine reaches the store as run.yaml says
    (made.whole.folder / "cluster.yaml").write_text(yaml.safe_dump(made.values), encoding="utf-8")
    yield made


def options(run: ClusterRun) -> list[str]:
    return ["--backend", "kubernetes", "--cluster", "cluster.yaml", "--namespace", run.namespace]


def ways_out(run: ClusterRun) -> str:
    return f"`helm uninstall {run.name} -n {run.namespace}` removes it"


class TestOneRun:
    def test_local_paths_are_refused_before_anything_is_installed(self, run: ClusterRun) -> None:
        said = run.whole.cli("run", "run.yaml", *options(run), code=Exit.BAD_CONFIG)
        assert "run.yaml:" in said and "is a file of one machine" in said and "sftjobs push" in said
        assert run.leftovers() == []

    def test_ctrl_c_lets_the_stage_save(self, run: ClusterRun) -> None:
        with run.whole.start("run", "pushed.yaml", *options(run)) as running:
            run.whole.wait_for(lambda: run.state() and run.step() > 20, "training is under way", running)
            assert run.controllers() == [], "the controller is here, not in the cluster"
            running.ctrl_c()
            assert running.wait() == INTERRUPTED, running.text
        assert "stopping: the running stage saves a checkpoint first" in running.text
        assert f"run {run.whole.run_id(run.name)} is stopped; the same command goes on where it was" in running.text
        assert f"release {run.name} stays in namespace {run.namespace}; {ways_out(run)}" in running.text
        assert run.pods("train") == []
        assert run.whole.endings(run.name)["train"] == ["stopped"]
        assert max(run.whole.saved_steps(name=run.name)) >= 20

    def test_resume_without_a_cluster_tells_the_ways(self, run: ClusterRun) -> None:
        said = run.whole.cli("resume", run.name, code=Exit.BAD_CONFIG)
        assert f"is release {run.name} in namespace {run.namespace}" in said
        assert "--set controller.again=N" in said and "--cluster cluster.yaml` is the controller itself" in said

    def test_resume_goes_on_to_the_end(self, run: ClusterRun, undisturbed: WholeRun) -> None:
        saved = max(run.whole.saved_steps(name=run.name))
        said = run.whole.cli("resume", run.name, "--cluster", "cluster.yaml", timeout_s=600)
        assert "95 % interval" in said
        assert run.whole.keys(run.name) == undisturbed.keys()
        assert run.whole.digests(run.name) == undisturbed.digests()
        assert run.whole.endings(run.name)["train"] == ["stopped", "committed"]
        log = run.whole.cli("logs", run.name, "train")
        assert f"going on from the checkpoint of step {saved}" in log

    def test_the_report_tells_where_the_time_of_each_attempt_went(self, run: ClusterRun) -> None:
        report = json.loads(run.whole.store.get(names.report_file(run.whole.run_id(run.name), "json")).body)
        rows = [row for row in report["attempts"]["rows"] if row["stage"] == "train"]
        assert [row["failure"] for row in rows] == ["stopped", "committed"]
        for row in rows:
            assert all(row[name] is not None and row[name] >= 0 for name in ("queue_s", "schedule_s", "start_s"))
            assert row["run_s"] >= row["wasted_s"] - row["start_s"] > 0
            assert row["pull_s"] is None, "the image was there"

    def test_the_same_command_is_a_cache_hit_and_another_run_is_refused(self, run: ClusterRun) -> None:
        said = run.whole.cli("run", "pushed.yaml", *options(run), timeout_s=120)
        assert "5 of 5 stages cached" in said
        other = yaml.safe_load((run.whole.folder / "pushed.yaml").read_text(encoding="utf-8"))
        other["train"]["max_steps"] -= 100
        (run.whole.folder / "other.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
        said = run.whole.cli("run", "other.yaml", *options(run), code=Exit.BAD_CONFIG)
        assert "ended with exit code 1:" in said and f"`helm uninstall {run.name}` first" in said

    def test_a_controller_in_the_cluster_can_take_the_run_and_keeps_it(self, run: ClusterRun) -> None:
        run.helm("upgrade", run.name, str(CHART), "--reuse-values", "--set", "controller.enabled=true")
        run.until(lambda: run.controller_ended("Complete"), "the controller's Job has ended", 120)
        said = run.whole.cli("run", "pushed.yaml", *options(run), code=Exit.BUSY)
        assert f"release {run.name} in namespace {run.namespace} has its controller in the cluster" in said
        assert len(run.whole.store.list_folders(names.RUNS)) == 1, "it is the same run all the time"

    def test_nothing_is_left_but_the_store(self, run: ClusterRun) -> None:
        run.uninstall()
        assert Path(run.whole.folder, "pushed.yaml").is_file() and run.is_over()
