"""Answers of one model to the held-out examples, with scores.

inputs    model: a model folder; data: held_out.jsonl and prompt.json
content   predictions.jsonl, scores.json
report    a section named as the stage, e.g. eval-base
"""

from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jobs.answers.parse import parser
from jobs.eval.examples import read_examples, read_prompt
from jobs.eval.lines import write_lines
from jobs.eval.score import Prediction, confusion, predict, scores
from jobs.lm.device import planned_device
from jobs.lm.generate import Generation, generate
from jobs.lm.load import load_model
from jobs.lm.render import Renderer, load_tokenizer
from sftjobs.canonical import readable
from sftjobs.plan.configs import EvalConfig
from sftjobs.program import Program, main

SAMPLES = 20
CONFUSION_LABELS = 200
"""With more labels than this the report has no confusion table."""


def run(program: Program) -> None:
    """Load, answer, score, write."""
    config = EvalConfig.model_validate(program.plan.config)
    torch.set_num_threads(config.threads_per_process)
    torch.manual_seed(config.seed)
    examples = read_examples(program.input("data") / "held_out.jsonl")
    parse = parser(read_prompt(program.input("data") / "prompt.json"))
    metrics = [metric.name for metric in config.metrics]
    # Before a minute is spent on generation: every expected answer must be readable.
    for example in examples:
        predict(example, "", parse, metrics)

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
    predictions = [predict(example, text, parse, metrics) for example, text in zip(examples, texts, strict=True)]
    result = scores(predictions, metrics, renderer.template_hash)
    write_lines(program.content / "predictions.jsonl", predictions)
    (program.content / "scores.json").write_bytes(readable(result))
    program.write_counts(_counts(result))
    program.write_report(program.plan.stage, _section(result, predictions, generation, _beyond(model, prompts, config)))
    first = result["metrics"][result["metric"]]
    print(f"{result['metric']} {first['value']:.3f} ({first['correct']} of {first['n']}), {generation.seconds:.1f} s")


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
        "metrics": {name: one["value"] for name, one in result["metrics"].items()},
        "examples": first["n"],
        "correct": first["correct"],
        "parse_failed": result["format"]["failed"],
    }


def _section(
    result: dict[str, Any], predictions: list[Prediction], generation: Generation, beyond: int
) -> dict[str, Any]:
    step = max(1, len(predictions) // SAMPLES)
    keys = ("id", "task", "expected", "prediction", "parse", "correct")
    labels = result["by_label"]
    return {
        **result,
        "confusion": confusion(predictions) if labels and len(labels) <= CONFUSION_LABELS else None,
        "samples": [{key: line[key] for key in keys} for line in predictions[::step][:SAMPLES]],
        "cut_off": sum(not answer.ended for answer in generation.answers),
        "beyond_context": beyond,
        "seconds": generation.seconds,
        "prompt_tokens": generation.prompt_tokens,
        "new_tokens": generation.new_tokens,
        "tokens_per_s": generation.new_tokens / generation.seconds if generation.seconds > 0 else None,
        "prefix_tokens": generation.prefix_tokens,
        "prefix_refused": generation.refused,
    }


if __name__ == "__main__":
    main(run)
