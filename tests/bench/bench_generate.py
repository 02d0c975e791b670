"""Answers to 96 prompts with one 400-token start, against batched `model.generate`: CPU seconds on one thread.

.venv/bin/python -m tests.bench.bench_generate [--model FOLDER] [--rounds 3] [--batch 8 16 32]

The peer sorts by length, batches on the left and takes the batch size that is best for it; so does our side. `text`:
every answer has 16 tokens. `labels`: the label is a few tokens and ends the answer, as after fine-tuning; the model is
not fine-tuned, so each answer ends at the first token that 12 of its own commonest tokens contain. Sides alternate, the
answers of both are compared in every round.
"""

import argparse
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel

from jobs.lm.generate import Answer, generate
from jobs.lm.load import load_model
from jobs.lm.render import Renderer, load_tokenizer
from tests.bench.train_sides_rows import GGUF, smollm2_folder

DATA = Path(os.environ.get("SFTJOBS_BENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
PROMPTS, START = 96, 400


def prompts_with_one_start(renderer: Renderer, count: int = PROMPTS) -> list[list[int]]:
    """Real questions of CLINC150 after a system text with its labels, cut so that about 400 tokens are common."""
    test = json.loads((DATA / "clinc150_small.json").read_text(encoding="utf-8"))["test"]
    labels = sorted({label for _, label in test})
    questions = [text for text, _ in test[:: len(test) // count][:count]]
    system = "Sort the message. Answer with exactly one label of this list and nothing else:"
    for label in labels:
        if renderer.lengths([system])[0] >= START - 20:
            break
        system += f" {label},"
    asked = [[{"role": "system", "content": system}, {"role": "user", "content": text}] for text in questions]
    return renderer.prompts(asked)  # type: ignore[arg-type]


@torch.inference_mode()
def peer(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], stops: list[int], limit: int, batch: int
) -> list[Answer]:
    """What a careful user of `transformers` writes."""
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    config = GenerationConfig(max_new_tokens=limit, do_sample=False, eos_token_id=stops, pad_token_id=stops[0])
    found: dict[int, Answer] = {}
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        longest = len(prompts[rows[0]])
        ids = torch.tensor([[0] * (longest - len(prompts[row])) + list(prompts[row]) for row in rows])
        mask = torch.tensor([[0] * (longest - len(prompts[row])) + [1] * len(prompts[row]) for row in rows])
        out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)[:, longest:].tolist()
        for row, tokens in zip(rows, out, strict=True):
            end = next((place for place, token in enumerate(tokens) if token in stops), None)
            found[row] = Answer(tokens[:end], end is not None)
    return [found[index] for index in range(len(prompts))]


def cpu_s(work: Callable[[], list[Answer]]) -> tuple[float, list[Answer]]:
    """User and system seconds of `work`, and what it returned."""
    before = time.process_time()
    answers = work()
    return time.process_time() - before, answers


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, help="a folder; default SmolLM2-135M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, nargs="*", default=[8, 16, 32])
    parser.add_argument("--ours", type=int, nargs="*", default=[16, 32, 64])
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.model or smollm2_folder(GGUF.parent)
    model, renderer = load_model(folder), Renderer(load_tokenizer(folder))
    prompts = prompts_with_one_start(renderer)
    text = generate(model, prompts, stop_ids=renderer.stop_ids, max_new_tokens=16, batch_size=32)
    common = Counter(token for answer in text.answers for token in answer.ids[2:6])
    short = [*renderer.stop_ids, *(token for token, _ in common.most_common(12))]
    lengths = f"{min(map(len, prompts))} to {max(map(len, prompts))}"
    print(f"{len(prompts)} prompts of {lengths} tokens, {text.prefix_tokens} common")
    for name, stops in (("text", renderer.stop_ids), ("labels", short)):
        measure(name, model, prompts, stops, options)


def measure(
    name: str, model: PreTrainedModel, prompts: list[list[int]], stops: list[int], options: argparse.Namespace
) -> None:
    """Both sides at every batch size in turn, then the median of the best of each."""
    seconds: dict[tuple[str, int], list[float]] = {}
    expected: list[Answer] | None = None
    for _ in range(options.rounds):
        for side, sizes in (("peer", options.batch), ("ours", options.ours)):
            for size in sizes:
                if side == "peer":
                    took, answers = cpu_s(lambda size=size: peer(model, prompts, stops, 16, size))
                else:
                    took, answers = cpu_s(
                        lambda size=size: (
                            generate(model, prompts, stop_ids=stops, max_new_tokens=16, batch_size=size).answers
                        )
                    )
                seconds.setdefault((side, size), []).append(took)
                expected = expected or answers
                assert answers == expected, f"{side} at {size}: answers differ"
    for (side, size), all_s in seconds.items():
        print(f"  {name:7} {side} batch {size:3}: {statistics.median(all_s):7.2f} s CPU {[round(s, 2) for s in all_s]}")
    best = {
        side: min(statistics.median(all_s) for (one, _), all_s in seconds.items() if one == side)
        for side in ("peer", "ours")
    }
    tokens = statistics.mean(len(answer.ids) + answer.ended for answer in expected or [])
    print(
        f"{name}: {tokens:.1f} tokens each | {best['peer']:.2f} and {best['ours']:.2f} s "
        f"| {best['peer'] / best['ours']:.1f}x"
    )


if __name__ == "__main__":
    main()
