"""Figures of runs on a real cluster: `make bench-cluster`, or python -m tests.bench.bench_cluster [WORD...]

handover   COMMIT of the last input of a stage to the request that makes its Job; also 4 releases side by side
cached     helm install to the end of the controller where every stage is cached
idle       requests, memory and start of one controller while a stage runs
lost       steps lost after a hard kill, since the newest committed checkpoint
many       50 controller processes on this machine, stage pods on kwok nodes (many_controllers.py)

It needs the lab, whose audit log says when a request arrived. A machine that does something else besides shows it.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from sftjobs import names
from tests.bench.many_controllers import bench_many
from tests.support.audit import AuditLog, job_creates
from tests.support.cluster_run import ClusterRun, prepare_run, seconds_between
from tests.support.container_faults import agent_of
from tests.support.disturbed import in_the_middle
from tests.support.faultproxy import FOREVER, Fault, Forward, Request, Response
from tests.support.lab import Cluster, find_cluster
from tests.support.pod_store import SECRET, PodStore, pod_store
from tests.support.whole_run import make_inputs

ROUNDS = 3
SIDE_BY_SIDE = 4
IDLE_S = 120.0
KILLS = 3
SAVE_INTERVAL_S = 5
LONG = [("max_steps: 60", "max_steps: 10000"), ("epochs: 20", "epochs: 1000")]
SMALL = [("{threads_per_process: 1}", "{threads_per_process: 1, memory_gib: 2, disk_gib: 1}")]


class Bench:
    """The cluster, the store, and where runs are prepared."""

    def __init__(self, cluster: Cluster, store: PodStore, folder: Path) -> None:
        assert cluster.audit_log is not None, "the audit log of the lab is needed"
        self.cluster = cluster
        self.store = store
        self.audit = AuditLog(cluster.audit_log)
        self._folder = folder
        self._inputs = make_inputs(folder / "inputs")
        self._made = 0

    @contextmanager
    def run(self, changes: list[tuple[str, str]] | None = None, prefix: str = "") -> Iterator[ClusterRun]:
        """A run, pushed and not installed."""
        with self.cluster.namespace("bench", SECRET) as namespace:
            self._made += 1
            folder = self._folder / f"run-{self._made}"
            changed = [*SMALL, *(changes or [])]
            run = prepare_run(
                self._inputs, folder, self.cluster, namespace, self.store, prefix, changes=changed, helm="helm3"
            )
            run.push()
            yield run


def show(what: str, value: str, goal: str, met: bool) -> None:
    print(f"{what:72} {value:>24}   goal {goal:12} {'met' if met else 'NOT MET'}", flush=True)


# --- from a COMMIT to the next Job ------------------------------------------------------------------------------------


class Commits:
    """When the store has answered each PUT of a stage's COMMIT: the clock of this machine, as in the audit log."""

    def __init__(self, store: PodStore) -> None:
        self.at: dict[str, float] = {}
        store.proxy.script(Fault("PUT", f"/{names.COMMIT}", self._note, FOREVER))

    def _note(self, request: Request, forward: Forward) -> Response:
        response = forward(request)
        if response.status == 200:
            self.at[request.path] = time.time()
        return response


def handovers(bench: Bench, run: ClusterRun, commits: Commits) -> list[float]:
    """Seconds from the last COMMIT that a stage needs to the request that makes its Job."""
    made = job_creates(bench.audit.read(run.namespace))
    keys = run.whole.keys(run.name)
    kinds = {node.name: node.kind for node in run.plan().stages}
    done = {
        stage: next(at for path, at in commits.at.items() if f"{run.namespace}/" in path and key in path)
        for stage, key in keys.items()
        if kinds[stage]
    }
    found = []
    for node in run.plan().stages:
        needs = [done[item.stage] for item in node.inputs.values() if item.stage]
        if needs:
            found.append(made[names.job_name(run.name, node.name, 0)] - max(needs))
    return found


def bench_handover(bench: Bench) -> None:
    commits = Commits(bench.store)
    alone: list[float] = []
    for _ in range(ROUNDS):
        with bench.run() as run:
            run.install()
            run.wait_until_ended()
            alone += handovers(bench, run, commits)
    _show_handover("COMMIT to the request for the next Job, one release", alone)
    together: list[float] = []
    with ExitStack() as stack:
        runs = [stack.enter_context(bench.run()) for _ in range(SIDE_BY_SIDE)]
        for run in runs:
            run.install()
        for run in runs:
            run.wait_until_ended(seconds=1200)
        for run in runs:
            together += handovers(bench, run, commits)
            requests = bench.audit.read(run.namespace)
            assert not [entry for entry in requests if entry.code == 429], "the API server had enough"
            assert all(attempts == ["committed"] for attempts in run.whole.endings().values()), run.whole.endings()
    _show_handover(f"the same, {SIDE_BY_SIDE} releases side by side", together)
    bench.store.proxy.clear()


def _show_handover(what: str, seconds: list[float]) -> None:
    p95 = statistics.quantiles(seconds, n=20)[-1]
    value = f"p95 {p95:.2f} s, median {statistics.median(seconds):.2f} s"
    show(f"{what} ({len(seconds)} times)", value, "p95 < 3 s", p95 < 3)


# --- a run that has nothing to do -------------------------------------------------------------------------------------


def bench_cached(bench: Bench) -> None:
    with bench.run() as first:
        first.install()
        first.wait_until_ended()
        seconds = []
        for _ in range(ROUNDS):
            with bench.run(prefix=first.namespace) as again:
                began = time.monotonic()
                again.install()
                again.until(again.controller_ended, "the controller has ended")
                seconds.append(time.monotonic() - began)
    worst = max(seconds)
    show(f"helm install to the end, all cached (worst of {ROUNDS})", f"{worst:.1f} s", "< 30 s", worst < 30)


# --- a controller that waits ------------------------------------------------------------------------------------------


def bench_idle(bench: Bench) -> None:
    with bench.run(LONG) as run:
        run.install()
        in_the_middle(run)
        run.until(lambda: run.stage_state("eval-base") == "succeeded", "only training is at work")
        before = time.time()
        time.sleep(IDLE_S)
        user = f"system:serviceaccount:{run.namespace}:{names.service_account_name(run.name, 'controller')}"
        requests = [entry for entry in bench.audit.read(run.namespace) if entry.user == user]
        idle = [entry for entry in requests if before <= entry.received < before + IDLE_S]
        per_minute = len(idle) / IDLE_S * 60
        show("requests of an idle controller", f"{per_minute:.1f} per minute", "<= 12", per_minute <= 12)
        megabytes = controller_process(run).memory_info().rss / 2**20
        show("memory of a controller (RSS)", f"{megabytes:.0f} MiB", "< 120 MiB", megabytes < 120)
        status = run.controllers()[0]["status"]["containerStatuses"][0]
        started = seconds_between("1970-01-01T00:00:00Z", status["state"]["running"]["startedAt"])
        first = min(job_creates(bench.audit.read(run.namespace)).values()) - started
        show("start of the controller to its first Job", f"{first:.1f} s", "< 3 s", first < 3)


def controller_process(run: ClusterRun) -> psutil.Process:
    """Process 1 of the controller's container: this machine is the node."""
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get(names.ENV_NAMESPACE) == run.namespace
                and "sftjobs.controller" in process.cmdline()
            ):
                return process
        except (psutil.Error, OSError):
            continue
    raise AssertionError("the controller is not a process of this machine")


# --- what a hard kill costs -------------------------------------------------------------------------------------------


def bench_lost(bench: Bench) -> None:
    """Process 1 of the pod gets KILL: nothing is saved, nothing is said."""
    interval = [
        ("checkpoint_every_s: 1", f"checkpoint_every_s: {SAVE_INTERVAL_S}"),
        ("max_steps: 60", "max_steps: 2000"),
    ]
    lost, allowed = [], []
    with bench.run([*interval, ("epochs: 20", "epochs: 250")]) as run:
        run.install()
        for _ in range(KILLS):
            in_the_middle(run)
            time.sleep(SAVE_INTERVAL_S * 0.8)  # late between two saves is the worst moment
            attempt = len(run.whole.attempts("train")) - 1
            step, per_second = progress_of(run)
            agent_of(run, "train").kill()
            saved = max(run.whole.saved_steps())
            run.until(lambda n=attempt: len(run.whole.attempts("train")) > n + 1, "another attempt")  # type: ignore[misc]
            lost.append(step - saved)
            allowed.append(per_second * (SAVE_INTERVAL_S + 1))
        run.wait_until_ended()
    worst = max(got / bound for got, bound in zip(lost, allowed, strict=True))
    value = f"{lost} of {[round(bound) for bound in allowed]} steps"
    show(f"steps lost by KILL, saved every {SAVE_INTERVAL_S} s", value, "one interval", worst <= 1)


def progress_of(run: ClusterRun) -> tuple[int, float]:
    """The last step that the program has reported to the agent, and steps per second of late."""
    pod = run.running_pod("train")
    text = run.exec(pod, "tail", "-n", "50", f"{names.SCRATCH_MOUNT}/progress.jsonl")
    lines = [line for line in map(json.loads, text.splitlines()) if line["phase"] == "train"]
    seconds = lines[-1]["t"] - lines[0]["t"]
    return lines[-1]["step"], (lines[-1]["step"] - lines[0]["step"]) / max(seconds, 0.1)


BENCHES: dict[str, Callable[[Bench], None]] = {
    "handover": bench_handover,
    "cached": bench_cached,
    "idle": bench_idle,
    "lost": bench_lost,
    "many": lambda bench: bench_many(bench.cluster, bench.audit),
}


def main(words: list[str]) -> None:
    os.environ.update(SECRET)  # this machine looks into the stores as well
    with tempfile.TemporaryDirectory(prefix="sftjobs-bench-") as folder, pod_store() as store:
        bench = Bench(find_cluster(), store, Path(folder))
        for name, measure in BENCHES.items():
            if not words or name in words:
                measure(bench)


if __name__ == "__main__":
    main(sys.argv[1:])
