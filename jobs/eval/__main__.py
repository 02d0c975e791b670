"""Answers of one model to the held-out examples, with scores.

inputs    model: a model folder; data: held_out.jsonl and prompt.json; metric.<n>: a file with a metric; optionally
          trained_on: train.jsonl that the model was trained on
content   predictions.jsonl, scores.json
report    a section named as the stage, e.g. eval-base
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jobs.answers.check import check
from jobs.answers.metrics import load
from jobs.answers.parse import parser
from jobs.eval.examples import read_examples, read_prompt
from jobs.eval.lines import write_lines
from jobs.eval.loss import answer_losses
from jobs.eval.score import Prediction, confusion, predict, scores
from jobs.eval.trained_on import refuse_trained
from jobs.eval.words import failures, in_words, notes, shortened
from jobs.lm.device import planned_device
from jobs.lm.generate import Generation, generate
from jobs.lm.load import load_model
from jobs.lm.render import Renderer, load_tokenizer
from sftjobs.canonical import readable
from sftjobs.plan.configs import EvalConfig
from sftjobs.program import Program, main

SAMPLES = 20
MAX_ROWS = 200
"""Of a table in the report section, which may have 2 MiB: with more labels it has no confusion table."""
LONG_TABLES = ("by_task", "by_label", "by_difficulty", "by_source")
SAMPLE = 2_000
"""Characters of a text among the samples."""


def run(program: Program) -> None:
    """Load, answer, score, write."""
    config = EvalConfig.model_validate(program.plan.config)
    torch.set_num_threads(config.threads_per_process)
    torch.manual_seed(config.seed)
    examples = read_examples(program.input("data") / "held_out.jsonl")
    prompt = read_prompt(program.input("data") / "prompt.json")
    parse = parser(prompt)
    metrics = load(config.metrics, program.input_file)
    check(metrics, prompt, parse, [(example.fields, example.expected) for example in examples])
    refuse_trained(program, examples)

    tokenizer = load_tokenizer(program.input("model"))
    renderer = Renderer(tokenizer)
    prompts = renderer.prompts([example.messages for example in examples])
    model = _load(program, config)
    print(
        f"{len(examples):,} examples | at most {config.decoding.max_new_tokens} new tokens | {model.device}", flush=True
    )
    program.progress("generate", 0, len(prompts))
    generation = generate(
        model,
        prompts,
        stop_ids=renderer.stop_ids,
        max_new_tokens=config.decoding.max_new_tokens,
        batch_size=program.plan.operation.batch_size,
        on_progress=lambda done: program.progress("generate", done, len(prompts)),
        stop_requested=lambda: program.stop_requested,
    )

    texts = _texts(tokenizer, generation)
    losses = answer_losses(model, renderer, examples, program) if any(one.needs_loss for one in metrics) else None
    predictions = [
        predict(example, text, parse, metrics, ended=answer.ended, loss=None if losses is None else losses[number])
        for number, (example, text, answer) in enumerate(zip(examples, texts, generation.answers, strict=True))
    ]
    result = scores(predictions, metrics, renderer.template_hash)
    write_lines(program.content / "predictions.jsonl", predictions)
    (program.content / "scores.json").write_bytes(readable(result))
    program.write_counts(_counts(result))
    program.write_report(program.plan.stage, _section(result, predictions, generation, _beyond(model, prompts, config)))
    for name, one in result["metrics"].items():
        print(in_words(name, one, result["confidence"]))
    print(f"{generation.seconds:.1f} s")


def _load(program: Program, config: EvalConfig) -> PreTrainedModel:
    """In 16 bits on a GPU, in float32 on a CPU."""
    device = planned_device(config.device, program.local_rank)
    model = load_model(program.input("model"), torch.float32 if device.type == "cpu" else torch.bfloat16)
    model.to(device)  # type: ignore[arg-type]
    return model


def _texts(tokenizer: PreTrainedTokenizerBase, generation: Generation) -> list[str]:
    ids = [answer.ids for answer in generation.answers]
    # Cleaning up blanks before punctuation would change what the model said.
    return list(tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _beyond(model: PreTrainedModel, prompts: list[list[int]], config: EvalConfig) -> int:
    """Prompts that leave no room for the longest answer in the model's context."""
    context = getattr(model.config, "max_position_embeddings", None)
    return 0 if context is None else sum(len(prompt) + config.decoding.max_new_tokens > context for prompt in prompts)


def _counts(result: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says: later stages are planned from `metrics`."""
    first = result["metrics"][result["metric"]]
    return {
        "metric": result["metric"],
        "kind": first["kind"],
        "lower_is_better": first["lower_is_better"],
        "metrics": {name: one["value"] for name, one in result["metrics"].items()},
        "examples": sum(result["format"].values()),
        "scored": first["n"],
        "correct": first.get("correct"),
        "parse_failed": result["format"]["failed"],
    }


def _section(
    result: dict[str, Any], predictions: list[Prediction], generation: Generation, beyond: int
) -> dict[str, Any]:
    step = max(1, len(predictions) // SAMPLES)
    keys = ("id", "task", "expected", "prediction", "parse", "parse_class", "scores", "correct")
    labels = result["by_label"]
    return {
        **{name: _largest(value) if name in LONG_TABLES else value for name, value in result.items()},
        "notes": notes(result, predictions),
        "parse_failures": failures(predictions),
        "confusion": confusion(predictions) if labels and len(labels) <= MAX_ROWS else None,
        "samples": [_sample(line, keys) for line in predictions[::step][:SAMPLES]],
        "cut_off": sum(not answer.ended for answer in generation.answers),
        "beyond_context": beyond,
        "seconds": generation.seconds,
        "prompt_tokens": generation.prompt_tokens,
        "new_tokens": generation.new_tokens,
        "tokens_per_s": generation.new_tokens / generation.seconds if generation.seconds > 0 else None,
        "prefix_tokens": generation.prefix_tokens,
        "prefix_refused": generation.refused,
    }


def _sample(line: Prediction, keys: Sequence[str]) -> dict[str, Any]:
    return {key: shortened(line[key], SAMPLE) if isinstance(line[key], str) else line[key] for key in keys}


def _largest(table: dict[str, Any]) -> dict[str, Any]:
    """The rows with the most examples; scores.json has them all."""

    def examples(name: str) -> int:
        row = table[name]
        return int(row["n"] if "n" in row else max(one["n"] for one in row.values()))

    chosen = sorted(table, key=lambda name: -examples(name))[:MAX_ROWS]
    return {name: table[name] for name in table if name in set(chosen)}


if __name__ == "__main__":
    main(run)
