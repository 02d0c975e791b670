"""The whole data stage on many short records: seconds, user and system seconds, peak memory of all its processes.

    python -m tests.bench.bench_data --model FOLDER [--records 1000000] [--kind label|free|long] [--processes 2]

The records are made from a seed: questions in Chinese and English of a few dozen words each, with repetitions, near
repetitions, wrong labels and personal data, as real data has them.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from sftjobs.plan.configs import DataConfig, SourceConfig
from sftjobs.plan.types import Resources
from sftjobs.spec.prompt import OutputSpec, PromptSpec
from tests.support.program_runner import environment, stage_plan

LABELS = {f"label{i}": f"the {i}th of many things that a customer may ask for" for i in range(12)}
PROMPT = PromptSpec(
    system="You sort the messages of customers.",
    instruction="Answer with exactly one label.\n{{ labels }}",
    input="Message: {{ text }}",
    labels=LABELS,
    output=OutputSpec(format="label"),
)
FREE = PromptSpec(input="{{ text }}")
WORDS = (Path(__file__).parent / "words.txt").read_text("utf-8").split()
CHINESE = "我的账户余额是多少请问怎么办理信用卡挂失转账失败利率贷款还款日期网点营业时间密码忘记修改手机号码地址账单"


def records(number: int, kind: str) -> Iterator[dict[str, str]]:
    """Records from a fixed seed; about 2 % repeat an earlier one, 4 % nearly."""
    draw = random.Random(7)
    texts: list[str] = []
    for i in range(number):
        chance = draw.random()
        if texts and chance < 0.02:
            text = draw.choice(texts)
        elif texts and chance < 0.06:
            text = draw.choice(texts) + draw.choice([" please", "谢谢", "?"])
        elif chance < 0.5:
            text = "".join(draw.choices(CHINESE, k=draw.randint(12, 40)))
        else:
            text = " ".join(draw.choices(WORDS, k=draw.randint(6, 20)))
        if i % 1000 == 0:
            text += f" 1391234{i % 10000:04d}"
        if len(texts) < 20_000:
            texts.append(text)
        if kind == "label":
            yield {"text": text, "label": f"label{hash_of(text) % 12}"}
        else:
            repeat = 60 if kind == "long" else 1
            yield {"text": text, "output": " ".join(" ".join(draw.choices(WORDS, k=14)) + "." for _ in range(repeat))}


def hash_of(text: str) -> int:
    return sum(text.encode())


def tokenizer_of(file: Path, folder: Path) -> Path:
    """The tokenizer of a GGUF file as a folder."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True).save_pretrained(folder)
    return folder


def write(path: Path, number: int, kind: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        for record in records(number, kind):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


class Peak:
    """Largest memory (RSS, all processes together, shared pages counted once per process) while it runs."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            try:
                family = [self._process, *self._process.children(recursive=True)]
                self.bytes = max(self.bytes, sum(one.memory_info().rss for one in family))
            except psutil.NoSuchProcess:
                continue

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder with a tokenizer, or a GGUF file")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=["label", "free", "long"], default="label")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = arguments.model if arguments.model.is_dir() else tokenizer_of(arguments.model, work / "model")
        data = work / "records.jsonl"
        write(data, arguments.records, arguments.kind)
        print(f"{arguments.records:,} records, {data.stat().st_size / 2**20:,.0f} MiB")
        prompt = PROMPT if arguments.kind == "label" else FREE
        source = SourceConfig(input="task.t", format="jsonl", output_column="label" if prompt is PROMPT else "output")
        config = DataConfig(
            prompt=prompt, tasks={"t": source}, held_out_fraction=0.01, max_tokens=2048, seed=1, max_dropped=1.0
        )
        inputs = {"model": model, "task.t": data}
        plan = stage_plan("jobs.data", config, inputs, Resources(threads_per_process=arguments.processes))
        environ = {**os.environ, **environment(plan, inputs, work / "run"), "OMP_NUM_THREADS": "1"}
        begin = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "jobs.data"], env=environ)
        peak = Peak(process.pid)
        status = process.wait()
        seconds = time.monotonic() - begin
        peak.end()
        used = os.times()
        phases(work / "run" / "progress.jsonl")
        print(
            f"exit {status}: {seconds:.1f} s, user {used.children_user:.1f} s, system {used.children_system:.1f} s, "
            f"peak memory {peak.bytes / 2**30:.2f} GiB"
        )


def phases(path: Path) -> None:
    """Seconds between the first lines of the phases."""
    first: dict[str, float] = {}
    last = 0.0
    for line in path.read_text().splitlines():
        value = json.loads(line)
        first.setdefault(value["phase"], value["t"])
        last = value["t"]
    names = list(first)
    for name, end in zip(names, [*(first[one] for one in names[1:]), last], strict=True):
        print(f"  {name}: {end - first[name]:.1f} s")


if __name__ == "__main__":
    main()
