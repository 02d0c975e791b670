"""Answers of one model to the held-out examples, with scores.

inputs    model: a model folder; data: held_out.jsonl and prompt.json; metric.<n>: a file with a metric; optionally
          trained_on: train.jsonl that the model was trained on
content   predictions.jsonl, scores.json
report    a section named as the stage, e.g. eval-base
"""

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jobs.answers.check import check
from jobs.answers.metrics import load
from jobs.answers.parse import parser
from jobs.eval.examples import read_examples, read_prompt
from jobs.eval.lines import write_lines
from jobs.eval.loss import answer_losses
from jobs.eval.score import predict, scores
from jobs.eval.section import counts, section
from jobs.eval.trained_on import refuse_trained
from jobs.eval.words import in_words, notes
from jobs.lm.device import planned_device
from jobs.lm.generate import Generation, generate
from jobs.lm.load import load_model
from jobs.lm.render import Renderer, load_tokenizer
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
    predictions = []
    for number, (example, text, answer) in enumerate(zip(examples, texts, generation.answers, strict=True)):
        loss = None if losses is None else losses[number]
        predictions.append(predict(example, text, parse, metrics, ended=answer.ended, loss=loss))
        if number % 100 == 99:
            program.progress("score", number + 1, len(examples))
    result = scores(predictions, metrics, renderer.template_hash)
    beyond = _beyond(model, prompts, config)
    told = notes(result, predictions, config.decoding.max_new_tokens, beyond)
    write_lines(program.content / "predictions.jsonl", predictions)
    (program.content / "scores.json").write_bytes(readable(result))
    program.write_counts(counts(result))
    program.write_report(program.plan.stage, section(result, predictions, generation, told, beyond))
    for name, one in result["metrics"].items():
        print(in_words(name, one, result["confidence"]))
    print(f"{generation.seconds:.1f} s")
    for note in told:
        print(f"note: {note}")


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


if __name__ == "__main__":
    main(run)
