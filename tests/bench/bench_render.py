"""Render, tokenise and mask 5,000 conversations, against TRL: CPU seconds on one thread, ids and labels equal.

python3 -m venv .tools/peers/trl
.tools/peers/trl/bin/pip install torch==2.13.0 trl==1.16.0 transformers==5.23.0 datasets==5.2.0
.venv/bin/python -m tests.bench.bench_render --peer .tools/peers/trl/bin/python [--tokenizer FOLDER --marked FILE]

The peer is the data preparation of `SFTTrainer` with `assistant_only_loss`. It needs `{% generation %}` marks in the
template; what it is given is the template of the tokenizer with these marks. Real questions and answers of
../shared/data, in half of the conversations one turn, in the others two to six. Then, without peer, what the data stage
does most: many short questions after one long system text.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("SFTJOBS_BENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
GGUF = Path(__file__).parents[2] / ".models" / "SmolLM2-135M-Instruct.gguf"
CONVERSATIONS = 5_000
SHORT = 20_000
ROUNDS = 5

SMOLLM2_MARKED = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{% if message['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

PEER = """
import json, sys, time
from pathlib import Path
import datasets, torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

folder, marked, lines, out, rounds = sys.argv[1:]
torch.set_num_threads(1)
datasets.disable_caching()
datasets.disable_progress_bars()
tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
tokenizer.chat_template = Path(marked).read_text()
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
rows = [{"messages": json.loads(line)} for line in Path(lines).read_text().splitlines()]
config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                     num_attention_heads=1, num_key_value_heads=1)
settings = SFTConfig(output_dir=out + ".trainer", assistant_only_loss=True, max_length=None, use_cpu=True,
                     bf16=False, report_to=[])
trainer = SFTTrainer(LlamaForCausalLM(config), settings, train_dataset=Dataset.from_list(rows[:8]),
                     processing_class=tokenizer)
seconds = []
for _ in range(int(rounds)):
    given = Dataset.from_list(rows)
    started = time.process_time()
    prepared = trainer._prepare_dataset(given, tokenizer, settings, False, None, "train")
    seconds.append(time.process_time() - started)
with open(out, "w") as file:
    for row in prepared:
        mask = row.get("assistant_masks")
        labels = row["labels"] if "labels" in row else [i if m else -100 for i, m in zip(row["input_ids"], mask)]
        file.write(json.dumps([row["input_ids"], labels]) + "\\n")
print(json.dumps(seconds))
"""


def conversations(number: int) -> list[list[dict[str, str]]]:
    """Real questions with their answers, the same each time."""
    pairs = []
    for name in ("self_instruct_seed_tasks.jsonl", "belle_zh_seed_tasks.json"):
        for task in _lines(DATA / name):
            for one in task["instances"]:
                asked = task["instruction"] + (f"\n\n{one['input']}" if one["input"] else "")
                pairs.append((asked, one["output"]))
    pairs += [(one["question"], one["answer"]) for one in _lines(DATA / "gsm8k_test.jsonl")]
    chooser = random.Random(0)
    made: list[list[dict[str, str]]] = []
    for i in range(number):
        turns = chooser.sample(pairs, 1 if i % 2 == 0 else chooser.randint(2, 6))
        system = [{"role": "system", "content": "You are a helpful assistant."}] if i % 3 == 0 else []
        made.append(system + [message for turn in turns for message in _turn(*turn)])
    return made


def short_conversations(number: int) -> list[list[dict[str, str]]]:
    """One long system text, 15 tokens of question, an answer of one label."""
    rows = json.loads((DATA / "clinc150_small.json").read_text(encoding="utf-8"))["train"]
    labels = sorted({label for _, label in rows})
    system = {"role": "system", "content": "Answer with one of these labels.\n" + "\n".join(f"- {x}" for x in labels)}
    return [[system, *_turn(*rows[i % len(rows)])] for i in range(number)]


def _turn(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _smollm2(folder: Path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(GGUF.parent, gguf_file=GGUF.name, local_files_only=True).save_pretrained(folder)


def _measured(folder: Path, given: list[list[dict[str, str]]], rounds: int) -> tuple[list[float], list[list[Any]]]:
    """CPU seconds of each round, and [ids, labels] of each conversation."""
    from jobs.lm.render import Renderer, load_tokenizer

    renderer = Renderer(load_tokenizer(folder))
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        rendered = renderer.render(given)  # type: ignore[arg-type]
        seconds.append(time.process_time() - started)
    return seconds, [[one.ids, one.labels] for one in rendered]


def _encoding_alone(folder: Path, given: list[list[dict[str, str]]]) -> float:
    """CPU seconds of encoding the texts once, by the library."""
    from jobs.lm.render import Renderer, load_tokenizer

    renderer = Renderer(load_tokenizer(folder))
    texts = ["".join(text for text, _ in renderer.segments(one)) for one in given]  # type: ignore[arg-type]
    started = time.process_time()
    renderer.tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    return time.process_time() - started


def main() -> None:
    """Print the figures; the exit status is 1 if ids or labels differ."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--marked", type=Path, help="template with generation marks for the peer")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder, marked = given.tokenizer or scratch / "tokenizer", given.marked or scratch / "marked.jinja"
        if given.tokenizer is None:
            _smollm2(folder)
            marked.write_text(SMOLLM2_MARKED)
        rows = conversations(CONVERSATIONS)
        seconds, ours = _measured(folder, rows, given.rounds)
        _tell("sftjobs", seconds, len(rows), sum(len(ids) for ids, _ in ours))
        print(f"  of these, encoding alone: {_encoding_alone(folder, rows):.2f} s")
        if given.peer is not None:
            _compare(given.peer, folder, marked, rows, ours, seconds, scratch, given.rounds)
        short = short_conversations(SHORT)
        short_seconds, out = _measured(folder, short, given.rounds)
        _tell("sftjobs, short questions, one system text", short_seconds, SHORT, sum(len(ids) for ids, _ in out))


def _compare(
    peer: Path,
    folder: Path,
    marked: Path,
    rows: list[list[dict[str, str]]],
    ours: list[list[Any]],
    seconds: list[float],
    scratch: Path,
    rounds: int,
) -> None:
    lines, out, program = scratch / "rows.jsonl", scratch / "peer.jsonl", scratch / "peer.py"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    program.write_text(PEER)
    one_thread = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(
        [peer, program, folder, marked, lines, out, str(rounds)],
        env=os.environ | one_thread | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    theirs: list[float] = json.loads(done.stdout.splitlines()[-1])
    _tell("TRL", theirs, len(rows), None)
    found = [json.loads(line) for line in out.read_text().splitlines()]
    different = [i for i, (a, b) in enumerate(zip(ours, found, strict=True)) if a != b]
    if different:
        print(f"DIFFERENT ids or labels: {len(different)} conversations, the first is {different[0]}")
        sys.exit(1)
    print(f"  ids and labels of all {len(rows)} conversations are equal")
    print(f"ratio of the medians: {statistics.median(theirs) / statistics.median(seconds):.2f}")


def _tell(name: str, seconds: list[float], number: int, tokens: int | None) -> None:
    median = statistics.median(seconds)
    shown = " ".join(f"{one:.2f}" for one in seconds)
    more = "" if tokens is None else f", {tokens / number:.0f} tokens each"
    print(f"{name}: median {median:.2f} s CPU ({shown}), {number / median:,.0f} conversations/s{more}", flush=True)


if __name__ == "__main__":
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    main()
