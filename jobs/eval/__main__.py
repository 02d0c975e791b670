"""Answers of one model to the held-out examples, with scores.

inputs    model: a model folder; data: held_out.jsonl and prompt.json; metric.<n>: a file with a metric; optionally
          adapter: trained virtual tokens that stand before every prompt, trained_on: train.jsonl that the model was
          trained on
content   predictions.jsonl, scores.json
report    a section named as the stage, e.g. eval-base
"""

import torch

from jobs.answers.check import check
from jobs.answers.metrics import load
from jobs.answers.parse import parser
from jobs.answers.predict import predict
from jobs.answers.prompt import read_prompt
from jobs.eval.engine import Engine
from jobs.eval.examples import read_examples
from jobs.eval.lines import write_lines
from jobs.eval.loss import answer_losses
from jobs.eval.score import scores
from jobs.eval.section import counts, section
from jobs.eval.trained_on import refuse_trained
from jobs.eval.words import in_words, notes
from sftjobs.canonical import readable
from sftjobs.plan.configs import EvalConfig
from sftjobs.program import Program, main


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

    engine = Engine(program, config)
    prompts = engine.renderer.prompts([example.messages for example in examples])
    print(f"{len(examples):,} examples | at most {config.decoding.max_new_tokens} new tokens", flush=True)
    texts, generation = engine.answer(prompts, "generate")
    losses = None
    if any(one.needs_loss for one in metrics):
        losses = answer_losses(engine.model, engine.renderer, examples, program, engine.before)
    predictions = []
    for number, (example, text, answer) in enumerate(zip(examples, texts, generation.answers, strict=True)):
        loss = None if losses is None else losses[number]
        predictions.append(
            predict(example.fields, example.expected, text, parse, metrics, ended=answer.ended, loss=loss)
        )
        if number % 100 == 99:
            program.progress("score", number + 1, len(examples))
    result = scores(predictions, metrics, engine.renderer.template_hash)
    told = notes(result, predictions, config.decoding.max_new_tokens, generation.beyond_context)
    write_lines(program.content / "predictions.jsonl", predictions)
    (program.content / "scores.json").write_bytes(readable(result))
    program.write_counts(counts(result))
    program.write_report(program.plan.stage, section(result, predictions, generation, told))
    for name, one in result["metrics"].items():
        print(in_words(name, one, result["confidence"]))
    print(f"{generation.seconds:.1f} s")
    for note in told:
        print(f"note: {note}")


if __name__ == "__main__":
    main(run)
