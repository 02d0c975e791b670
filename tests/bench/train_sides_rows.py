"""Models and rows of the benches of training.

Ragged rows: real questions with their answers in ChatML without a system text, 16 to 512 tokens. Rows with a common
prompt: examples/intent as its data stage makes them, rendered with SmolLM2's own template.
"""

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from jobs.data.prompt import Prompt
from jobs.data.read import Record
from jobs.lm.message import Message
from jobs.lm.render import IGNORE, Rendered, Renderer, load_tokenizer
from sftjobs.plan.configs import SourceConfig
from sftjobs.spec.prompt import PromptSpec
from tests.bench.train_sides import ROOT
from tests.support.tiny import CHATML

GGUF = ROOT / ".models" / "SmolLM2-135M-Instruct.gguf"
DATA = Path(os.environ.get("SFTJOBS_BENCH_DATA", ROOT.parent / "shared" / "data"))
INTENT = ROOT / "examples" / "intent"
SMALL_VOCABULARY = 32_000
SHORTEST, LONGEST = 16, 512


def smollm2_folder(cache: Path) -> Path:
    """SmolLM2-135M in float32 with its tokenizer, below `cache`; made once."""
    folder = cache / "SmolLM2-135M"
    if not (folder / "config.json").is_file():
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        from jobs.data.gguf_file import read_once
        from jobs.data.model_folder import write_model_folder

        given: dict[str, Any] = {"gguf_file": GGUF.name, "local_files_only": True}
        with read_once():
            plain = GgufConfig(dequantize=True)
            model = AutoModelForCausalLM.from_pretrained(GGUF.parent, quantization_config=plain, **given)
            tokenizer = AutoTokenizer.from_pretrained(GGUF.parent, **given)
        folder.mkdir(parents=True, exist_ok=True)
        write_model_folder(model, tokenizer, folder)
    return folder


def small_folder(cache: Path) -> Path:
    """A random Qwen2 of 25 million parameters with SmolLM2's tokenizer, below `cache`; made once.

    Hidden 384, 8 layers, 6 heads of which 2 for keys, MLP 1,024, 32,000 tokens, tied embeddings.
    """
    folder = cache / "qwen2-25M"
    if not (folder / "config.json").is_file():
        import torch
        from transformers import Qwen2Config, Qwen2ForCausalLM

        config = Qwen2Config(
            vocab_size=SMALL_VOCABULARY,
            hidden_size=384,
            intermediate_size=1024,
            num_hidden_layers=8,
            num_attention_heads=6,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
        torch.manual_seed(0)
        Qwen2ForCausalLM(config).save_pretrained(folder)
        load_tokenizer(smollm2_folder(cache)).save_pretrained(folder)
    return folder


def ragged_rows(folder: Path, number: int, longest: int = LONGEST) -> list[Rendered]:
    """`number` rows without a common prompt, the same each time."""
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = CHATML
    conversations = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        for question, answer in _pairs()
        if answer.strip()
    ]
    random.Random(0).shuffle(conversations)
    rendered = Renderer(tokenizer).render(conversations)  # type: ignore[arg-type]
    fitting = [one for one in rendered if SHORTEST <= len(one.ids) <= longest]
    assert len(fitting) >= number, f"{len(fitting)} rows"
    return fitting[:number]


def _pairs() -> Iterator[tuple[str, str]]:
    for name in ("self_instruct_seed_tasks.jsonl", "belle_zh_seed_tasks.json"):
        for task in _lines(DATA / name):
            for one in task["instances"]:
                yield task["instruction"] + (f"\n\n{one['input']}" if one["input"] else ""), one["output"]
    for one in _lines(DATA / "gsm8k_test.jsonl")[:350]:
        yield one["question"], one["answer"]


def prompted_rows(folder: Path, number: int) -> list[Rendered]:
    """`number` rows of examples/intent with its prompt."""
    return Renderer(load_tokenizer(folder)).render(conversations(number))


def conversations(number: int) -> list[list[Message]]:
    """`number` examples of examples/intent with its prompt, as its data stage makes them, in random order."""
    spec = PromptSpec.model_validate(yaml.safe_load((INTENT / "prompts" / "intent.yaml").read_text(encoding="utf-8")))
    prompt, config = Prompt(spec), SourceConfig(input="task.intent", format="jsonl", output_column="label")
    records = _lines(INTENT / "data" / "train.jsonl")
    random.Random(0).shuffle(records)
    return [
        prompt.example(Record(line, values), "intent", config, "columns", "0" * 64, free=False).example.messages
        for line, values in enumerate(records[:number], start=1)
    ]


def write_rows(rows: list[Rendered], path: Path, vocabulary: int | None = None) -> None:
    """Write the rows for `read_rows`, and print what they are. Ids beyond a smaller vocabulary are folded into it."""
    lines = []
    for row in rows:
        ids = row.ids if vocabulary is None else [token % vocabulary for token in row.ids]
        lines.append([ids, [label if label == IGNORE else token for token, label in zip(ids, row.labels, strict=True)]])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    lengths = sorted(len(ids) for ids, _ in lines)
    supervised = sum(label != IGNORE for _, labels in lines for label in labels)
    print(
        f"{len(rows)} rows, {sum(lengths):,} tokens: {lengths[0]} to {lengths[-1]}, "
        f"mean {sum(lengths) / len(lengths):.0f}, median {lengths[len(lengths) // 2]}; "
        f"{supervised / sum(lengths):.0%} with loss",
        flush=True,
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    write_rows(ragged_rows(smollm2_folder(Path(sys.argv[1])), 256), Path(os.devnull))
