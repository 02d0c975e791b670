"""What else the tuned model has to beat, on the same held-out examples.

inputs    model: the base model; data: train.jsonl, held_out.jsonl and prompt.json; metric.<n>: a file with a metric
content   <baseline>/predictions.jsonl, <baseline>/scores.json
report    section baselines
"""

import time
from collections.abc import Sequence
from typing import Any

import torch

from jobs.answers.check import check
from jobs.answers.metrics import Metric, NotScored, load
from jobs.answers.parse import Parser, parser
from jobs.answers.predict import predict
from jobs.answers.prompt import read_prompt
from jobs.eval.baselines.answered import Answered, Task
from jobs.eval.baselines.classic import classic
from jobs.eval.baselines.few_shot import few_shot
from jobs.eval.baselines.likelihood import likelihood
from jobs.eval.engine import Engine
from jobs.eval.examples import read_examples
from jobs.eval.lines import write_lines
from jobs.eval.score import scores
from jobs.eval.section import counts
from jobs.eval.words import in_words
from sftjobs.canonical import readable
from sftjobs.plan.configs import BaselinesConfig
from sftjobs.program import Program, main

NO_LOSS = NotScored("a baseline has no loss of its own")


def run(program: Program) -> None:
    """Answer with each baseline of the plan, score, write."""
    config = BaselinesConfig.model_validate(program.plan.config)
    torch.set_num_threads(config.threads_per_process)
    torch.manual_seed(config.seed)
    data = program.input("data")
    prompt = read_prompt(data / "prompt.json")
    parse = parser(prompt)
    metrics = load(config.metrics, program.input_file)
    train, held_out = read_examples(data / "train.jsonl"), read_examples(data / "held_out.jsonl")
    task = Task(program, prompt, train, held_out, config.seed)
    check(metrics, prompt, parse, [(example.fields, example.expected) for example in held_out])

    engine = Engine(program, config)
    sections: dict[str, Any] = {}
    counted: dict[str, Any] = {}
    for name in config.baselines:
        program.progress(name, 0, len(held_out))
        began = time.monotonic()
        if name == "likelihood":
            answered = likelihood(task, engine.model, engine.renderer)
        elif name == "few_shot":
            answered = few_shot(task, config, engine)
        else:
            answered = classic(task, parse)
        seconds = time.monotonic() - began
        template = "" if name == "classic" else engine.renderer.template_hash
        result = write(program, name, task, answered, parse, metrics, template)
        counted[name] = counts(result)
        sections[name] = {
            **{key: result[key] for key in ("metric", "confidence", "metrics", "format", "parse_classes")},
            **answered.about,
            "notes": answered.notes,
            "seconds": round(seconds, 2),
        }
        words = in_words(result["metric"], result["metrics"][result["metric"]], result["confidence"])
        print(f"{name}: {words}, {seconds:.1f} s", flush=True)
        for note in answered.notes:
            print(f"note: {note}")
    program.write_counts(counted)
    program.write_report(program.plan.stage, sections)


def write(
    program: Program,
    name: str,
    task: Task,
    answered: Answered,
    parse: Parser,
    metrics: Sequence[Metric],
    template_hash: str,
) -> dict[str, Any]:
    """`<name>/predictions.jsonl` and `<name>/scores.json`; returns the scores."""
    ended = answered.ended or [True] * len(answered.texts)
    predictions = [
        predict(example.fields, example.expected, text, parse, metrics, ended=end, loss=NO_LOSS)
        for example, text, end in zip(task.held_out, answered.texts, ended, strict=True)
    ]
    result = scores(predictions, metrics, template_hash)
    folder = program.content / name
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "predictions.jsonl", predictions)
    (folder / "scores.json").write_bytes(readable(result))
    return result


if __name__ == "__main__":
    main(run)
