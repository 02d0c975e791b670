"""Baseline `few_shot`: the base model with training examples in its prompt (Brown et al. 2020, arXiv 2005.14165).

What can be had without any training: the examples are earlier turns of the conversation, written by the same prompt
file, so any chat model can read them.
"""

from jobs.eval.baselines.answered import Answered, Task
from jobs.eval.baselines.shots import Shots, choose
from jobs.eval.engine import Engine
from sftjobs.plan.configs import BaselinesConfig

SHOWN = 50
"""Shots that the report names."""
SHORT = 300
"""Characters of a question or an answer in the report."""


def few_shot(task: Task, config: BaselinesConfig, engine: Engine) -> Answered:
    """The answer to each held-out example, made as `config.decoding` says."""
    context = engine.context
    room = None if context is None else context - config.decoding.max_new_tokens
    shots = choose(task.train, task.held_out, engine.renderer, shots=config.shots, seed=task.seed, room=room)
    prompts = engine.renderer.prompts([shots.before(example) for example in task.held_out])
    texts, generation = engine.answer(prompts, "few-shot")
    return Answered(
        texts,
        ended=[answer.ended for answer in generation.answers],
        about=_about(task, config, shots),
        notes=_notes(task, config, shots),
    )


def _about(task: Task, config: BaselinesConfig, shots: Shots) -> dict[str, object]:
    return {
        "shots": len(shots.examples),
        "shots_wanted": config.shots,
        "shot_ids": [one.id for one in shots.examples],
        "too_long": shots.too_long,
        "shown": [
            {
                "id": one.id,
                "label": one.label,
                "question": one.messages[-2]["content"].removeprefix(shots.instruction)[:SHORT],
                "answer": one.expected[:SHORT],
            }
            for one in shots.examples[:SHOWN]
        ],
    }


def _notes(task: Task, config: BaselinesConfig, shots: Shots) -> list[str]:
    found = []
    if len(shots.examples) < config.shots:
        why = (
            f"no other fits into the model's context ({shots.too_long} were too long)"
            if shots.too_long
            else "there are no more training examples that are not general data"
        )
        found.append(f"few_shot: {len(shots.examples)} shots instead of {config.shots}: {why}")
    elif shots.too_long:
        found.append(f"few_shot: {shots.too_long} training examples were too long to be a shot")
    labels = {one.label for one in shots.examples} - {None}
    if labels and len(labels) < len(task.labels):
        found.append(
            f"few_shot: the shots show {len(labels)} of {len(task.labels)} labels; "
            f"eval.shots: {len(task.labels)} would show each once"
        )
    return found
