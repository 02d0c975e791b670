"""What the harness costs: the train stage under its agent beside the same steps in a bare torchrun loop, two ranks.

make bench-harness                                               the figures of docs/performance.md
.venv/bin/python -m tests.bench.bench_harness [--model tiny|smollm2] [--steps 200] [--batch 8] [--rounds 3]

Rows of examples/intent, LoRA. Harness: agent (logs, heartbeats, watching), sampler and layout of batches, callbacks,
metrics, progress, votes of the ranks on stopping. The loop has none of it and is given batches that are laid out; see
tests/bench/harness_loop.py. Both train the same weights on the same batches, and the losses of all steps are compared.

What the harness does in a step depends on the number of layers, not on how wide they are. In a model as deep as
SmolLM2-135M but tiny it is a large part of a step, so that its milliseconds can be measured beside other work on the
machine; with SmolLM2 they would be lost in it. Sides alternate. Wall time of a step is from the end of the one before
it to its own end; CPU seconds are those of all processes of a side, from the end of the first steps to the end of the
last one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from jobs.lm.render import load_tokenizer
from sftjobs.agent.ranks import free_port
from sftjobs.artifact.digest import artifact_digest, hash_file
from sftjobs.plan.configs import TrainConfig
from sftjobs.plan.types import External, FileEntry, FinishedInput, Resources
from tests.bench.bench_train import CACHE, instruction_set
from tests.bench.train_sides import ONE_THREAD, ROOT, Job
from tests.bench.train_sides_ours import TASK, train_config
from tests.bench.train_sides_rows import conversations, smollm2_folder
from tests.support.agent_runner import AgentBench

RANKS = 2
LAYERS = 30
FIRST = 5
"""Steps before the measured ones: what is made once, such as the optimizer's state."""
TOLERANCE = 1e-5
POLL_S = 0.05


@dataclass(frozen=True)
class Found:
    """One training of one side."""

    seconds: list[float]
    """Wall time of each measured step."""
    cpu: float
    """CPU seconds of all processes for all measured steps."""
    losses: list[float]


def watch(process: "subprocess.Popen[bytes]", times: Path, steps: int, log: Path) -> tuple[list[float], float]:
    """Ends of the steps by rank 0's lines, and the CPU seconds of the process tree between `FIRST` and the last step.

    Raises RuntimeError if the process ends before its last step.
    """
    begun = 0.0
    while True:
        lines = times.read_text(encoding="utf-8").splitlines() if times.exists() else []
        done = [one for one in map(json.loads, filter(_is_whole, lines)) if one["phase"] == "train" and one["step"]]
        if not begun and len(done) >= FIRST:
            begun = _cpu_seconds(process.pid)
        if len(done) >= steps:
            return [float(one["t"]) for one in done], _cpu_seconds(process.pid) - begun
        if process.poll() is not None:
            raise RuntimeError(f"ended after {len(done)} of {steps} steps: {log.read_text(encoding='utf-8')[-2000:]}")
        time.sleep(POLL_S)


def _is_whole(line: str) -> bool:
    return line.endswith("}")


def _cpu_seconds(pid: int) -> float:
    root = psutil.Process(pid)
    spent = [one.cpu_times() for one in (root, *root.children(recursive=True))]
    return sum(one.user + one.system for one in spent)


def program(config: TrainConfig, base: Path, data: Path, folder: Path) -> Found:
    """The train stage under the real agent, on a folder store."""
    bench = AgentBench(folder)
    plan = bench.plan(
        config.model_dump(mode="json"),
        program="jobs.train",
        inputs={"model": _external(base), "data": _external(data)},
        resources=Resources(processes_per_node=RANKS, threads_per_process=1),
    )
    agent = bench.start(plan)
    try:
        ends, cpu = watch(agent.process, agent.work / "progress.jsonl", config.steps, agent.output)
        if agent.wait(600):
            raise RuntimeError(agent.text[-2000:])
    finally:
        bench.close()
    metrics = next((folder / "store").rglob("metrics.jsonl")).read_text(encoding="utf-8").splitlines()
    return Found(_steps(ends), cpu, [json.loads(line)["loss"] for line in metrics])


def loop(config: TrainConfig, base: Path, data: Path, folder: Path) -> Found:
    """The bare loop under torchrun."""
    (folder / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    times, log = folder / "times.jsonl", folder / "log.txt"
    environ = os.environ | ONE_THREAD | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(RANKS)]
    command += ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    command += ["-m", "tests.bench.harness_loop", *map(str, (folder / "config.json", base, data, times))]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=file, stderr=file)
    try:
        ends, cpu = watch(process, times, config.steps, log)
        if process.wait(600):
            raise RuntimeError(log.read_text(encoding="utf-8")[-2000:])
    finally:
        process.kill()
        process.wait()
    return Found(_steps(ends), cpu, json.loads(times.with_suffix(".losses").read_text(encoding="utf-8")))


def _steps(ends: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(ends[FIRST - 1 :])]


def _external(folder: Path) -> FinishedInput:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    entries = [FileEntry(path=path.name, size=size, sha256=sha) for path in files for size, sha in [hash_file(path)]]
    return FinishedInput(external=External(source=str(folder), digest=artifact_digest(entries), files=entries))


def tiny_folder(cache: Path) -> Path:
    """A random Llama as deep as SmolLM2 and with its tokenizer, but 32 wide, below `cache`; made once."""
    folder = cache / "llama-tiny"
    if not (folder / "config.json").is_file():
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        tokenizer = load_tokenizer(smollm2_folder(cache))
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            tie_word_embeddings=True,
        )
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def write_data(folder: Path, number: int) -> Path:
    """examples/intent as the data stage leaves it for training, `number` examples."""
    folder.mkdir()
    messages = conversations(number)
    lines = [{"id": str(index), "task": TASK, "messages": one} for index, one in enumerate(messages)]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def main() -> None:
    """Print both ratios; exit status 1 if losses differ."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["tiny", "smollm2"], default="tiny")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=8, help="examples of a step and rank")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    base = (tiny_folder if given.model == "tiny" else smollm2_folder)(CACHE)
    print(
        f"{given.model}, {RANKS} ranks x {given.batch} examples, {given.steps} steps; {instruction_set()}", flush=True
    )
    sides = {"train stage": program, "loop": loop}
    found: dict[str, list[Found]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory(prefix="sftjobs-bench-") as name:
        data = write_data(Path(name) / "data", 390)
        job = Job(str(base), "", "lora", bfloat16=False, batch=given.batch)
        config = train_config(job, given.steps, 0, 1.0, False)
        config = config.model_copy(update={"world_size": RANKS})
        config = config.model_copy(update={"mixture": config.mixture.model_copy(update={"epochs": {TASK: 10.0}})})
        for number in range(given.rounds):
            for side, train in sides.items() if number % 2 == 0 else reversed(sides.items()):
                folder = Path(name) / f"{side.replace(' ', '-')}-{number}"
                folder.mkdir()
                found[side].append(train(config, base, data, folder))
                one = found[side][-1]
                print(f"  {side:11} {statistics.median(one.seconds):.4f} s, {one.cpu:.2f} s CPU", flush=True)
    if not show(found):
        sys.exit(1)


def show(found: dict[str, list[Found]]) -> bool:
    """Print the comparison; False if the sides did not train the same."""
    ours, theirs = found["train stage"], found["loop"]
    apart = max(
        abs(a - b) / b
        for one, other in zip(ours, theirs, strict=True)
        for a, b in zip(one.losses, other.losses, strict=True)
    )
    print(f"  losses at most {apart:.1e} apart, relatively")
    if apart > TOLERANCE:
        print(f"  more than {TOLERANCE:.0e}: NOTHING IS REPORTED")
        return False
    wall = [statistics.median(seconds for one in side for seconds in one.seconds) for side in (ours, theirs)]
    cpu = [statistics.median(one.cpu / len(one.seconds) for one in side) for side in (ours, theirs)]
    for what, (with_it, without) in (("wall", wall), ("CPU, both ranks", cpu)):
        print(
            f"  a step: {1e3 * with_it:.1f} and {1e3 * without:.1f} ms {what}: {1e3 * (with_it - without):.1f} ms more"
        )
    return True


if __name__ == "__main__":
    main()
