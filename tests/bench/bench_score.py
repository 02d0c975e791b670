"""Losses of the answers of 48 conversations with one 400-token start, against the loop of IFD scripts: CPU seconds.

.venv/bin/python -m tests.bench.bench_score [--model FOLDER] [--rounds 5]

The loop is written from the description of Cherry LLM (arXiv 2308.12032, section 2.2): one forward call per text, all
logits, a log-softmax over the whole vocabulary for each token of the answer. `held-out`: the answers after their
prompts. `ifd`: these and the answers by themselves, two texts per row. One thread, sides alternate, every loss of both
is compared in every round.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from transformers import PreTrainedModel

from jobs.lm.layout import Sequences
from jobs.lm.load import load_model
from jobs.lm.render import IGNORE, Renderer, load_tokenizer
from jobs.lm.score import score
from tests.bench.bench_generate import prompts_with_one_start
from tests.bench.train_sides_rows import GGUF, smollm2_folder

ROWS = 48
FURTHEST = 1e-5
"""Nats per token by which the loss of an answer may differ; single tokens differ by a few times as much.

Float32 gives no more: on SmolLM2-135M single losses of the loop itself are up to 2e-5 from those in float64.
"""
ANSWERS = (
    "The customer asks for the balance of an account, so the label is balance.",
    "The message is about a card that was lost; it belongs to card_lost here.",
    "None of the labels fits what is asked in this message: out of scope.",
)


def loop(model: PreTrainedModel, sequences: Sequences) -> list[list[float]]:
    """One text at a time, one token at a time."""
    found = []
    for ids, labels in zip(sequences.ids, sequences.labels, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        losses = []
        for place in range(1, len(ids)):
            if labels[place] != IGNORE:
                losses.append(-torch.log_softmax(logits[place - 1], dim=-1)[ids[place]].item())
        found.append(losses)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, help="a folder; default SmolLM2-135M")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.model or smollm2_folder(GGUF.parent)
    model, renderer = load_model(folder), Renderer(load_tokenizer(folder))
    prompts = prompts_with_one_start(renderer, options.rows)
    answers = renderer.answers([ANSWERS[index % len(ANSWERS)] for index in range(len(prompts))])
    after = Sequences(
        [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)],
        [[IGNORE] * len(prompt) + answer for prompt, answer in zip(prompts, answers, strict=True)],
    )
    opening = renderer.prompts([[{"role": "user", "content": ""}]])[0][-3:]
    alone = Sequences(
        [opening + answer for answer in answers], [[IGNORE] * len(opening) + answer for answer in answers]
    )
    print(f"{len(prompts)} rows, answers of {statistics.mean(map(len, answers)):.1f} tokens")
    measure("held-out", model, [after], options.rounds)
    measure("ifd", model, [after, alone], options.rounds)


def measure(name: str, model: PreTrainedModel, texts: list[Sequences], rounds: int) -> None:
    """Both sides in turn."""
    peer_s, ours_s, furthest, of_tokens = [], [], 0.0, 0.0
    for _ in range(rounds):
        before = time.process_time()
        expected = [losses for one in texts for losses in loop(model, one)]
        between = time.process_time()
        found = [one.losses for text in texts for one in score(model, text).scores]
        ours_s.append(time.process_time() - between)
        peer_s.append(between - before)
        for mine, theirs in zip(found, expected, strict=True):
            furthest = max(furthest, abs(statistics.mean(mine) - statistics.mean(theirs)))
            of_tokens = max(of_tokens, *(abs(a - b) for a, b in zip(mine, theirs, strict=True)))
    assert furthest < FURTHEST, furthest
    peer, ours = statistics.median(peer_s), statistics.median(ours_s)
    print(
        f"{name}: loop {peer:.2f} s {[round(s, 2) for s in peer_s]} "
        f"| ours {ours:.2f} s {[round(s, 2) for s in ours_s]} "
        f"| {peer / ours:.1f}x | furthest apart: answers {furthest:.1e}, tokens {of_tokens:.1e} nats"
    )


if __name__ == "__main__":
    main()
