"""Baseline `likelihood`: the label that the base model finds most likely, whatever it would write by itself.

A base model often knows more than it says: it answers in sentences, or with a label of its own. Choosing among the
labels by their probability takes the format out, so that what training adds is knowledge and not the format alone.

The sum of the log-probabilities of a label and of the end of the turn decides. It is the probability that the model
answers with exactly this label, so it is what constrained decoding would choose if it looked ahead, and labels are
comparable although they have different lengths. The mean per token (length normalisation, Brown et al. 2020, section
2.4, arXiv 2005.14165) is reported beside it, and does not decide: the tokens of a long label after its first ones are
almost certain, so its mean is high whatever was asked.
"""

from collections.abc import Callable, Sequence
from functools import partial

from transformers import PreTrainedModel

from jobs.eval.baselines.answered import Answered, Task
from jobs.lm.choices import answers_in_context, log_probabilities
from jobs.lm.positions import context_length
from jobs.lm.render import Renderer


def likelihood(task: Task, model: PreTrainedModel, renderer: Renderer) -> Answered:
    """The most likely label of each held-out example; of equally likely ones the first in the prompt file."""
    conversations = [example.messages for example in task.held_out]
    labels = task.labels
    prompts = renderer.prompts(conversations)
    answers = answers_in_context(renderer, conversations, labels)
    sums: dict[int, list[float]] = {}
    for group in _alike(answers):
        found = log_probabilities(
            model,
            [prompts[index] for index in group],
            answers[group[0]],
            on_progress=partial(_tell, task.progress("likelihood"), len(sums)),
            stop_requested=lambda: task.program.stop_requested,
        )
        sums.update(zip(group, found, strict=True))
    chosen = [labels[_largest(sums[index])] for index in range(len(prompts))]
    by_mean = [labels[_largest(_means(sums[index], answers[index]))] for index in range(len(prompts))]
    right = sum(said == example.label for said, example in zip(by_mean, task.held_out, strict=True))
    about = {"labels": len(labels), "decided_by": "sum", "accuracy_by_mean": right / len(by_mean)}
    return Answered(chosen, about=about, notes=_beyond(model, prompts, answers))


def _tell(progress: Callable[[int], None], before: int, done: int) -> None:
    progress(before + done)


def _beyond(model: PreTrainedModel, prompts: Sequence[Sequence[int]], answers: Sequence[list[list[int]]]) -> list[str]:
    """A sentence on prompts that leave no room for every label in the model's context."""
    context = context_length(model.config)
    lengths = [len(prompt) + max(map(len, labels)) for prompt, labels in zip(prompts, answers, strict=True)]
    count = 0 if context is None else sum(length > context for length in lengths)
    return [f"{count} prompts with a label are longer than the model's context of {context:,} tokens"] if count else []


def _means(sums: Sequence[float], ids: Sequence[Sequence[int]]) -> list[float]:
    return [total / len(tokens) for total, tokens in zip(sums, ids, strict=True)]


def _alike(answers: Sequence[list[list[int]]]) -> list[list[int]]:
    """Indices of conversations after which the labels are the same tokens."""
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    seen: dict[int, tuple[tuple[int, ...], ...]] = {}
    for index, one in enumerate(answers):
        # Most conversations have one and the same list: its key is made once.
        key = seen.setdefault(id(one), tuple(map(tuple, one)))
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _largest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda index: values[index])
