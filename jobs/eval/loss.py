"""The loss of the expected answers under the model."""

import math
from collections.abc import Sequence

from transformers import PreTrainedModel

from jobs.answers.metrics import NotScored
from jobs.eval.examples import Example
from jobs.lm.layout import Sequences
from jobs.lm.positions import context_length
from jobs.lm.prefix_attention import Prefix
from jobs.lm.render import IGNORE, Renderer
from jobs.lm.score import score
from sftjobs.program import Program


def answer_losses(
    model: PreTrainedModel,
    renderer: Renderer,
    examples: Sequence[Example],
    program: Program,
    before: Prefix | None = None,
) -> list[float | NotScored]:
    """Mean loss (nats) per token of each expected answer, the token that ends it included.

    Only the last answer of a conversation counts, as for every other metric. `before`: trained virtual tokens that
    stand before every prompt. Raises Stopped on request.
    """
    conversations = [example.messages for example in examples]
    rendered, prompts = renderer.render(conversations), renderer.prompts(conversations)
    labels = [[IGNORE] * len(prompt) + one.labels[len(prompt) :] for one, prompt in zip(rendered, prompts, strict=True)]
    context = context_length(model.config)
    virtual = 0 if before is None else before.tokens
    found: dict[int, float | NotScored] = {
        index: NotScored(
            f"question and answer have {virtual + len(one.ids):,} tokens, more than the model's {context:,}"
        )
        for index, one in enumerate(rendered)
        if context is not None and virtual + len(one.ids) > context
    }
    fitting = [index for index in range(len(examples)) if index not in found]
    sequences = Sequences([rendered[index].ids for index in fitting], [labels[index] for index in fitting])
    scoring = score(
        model,
        sequences,
        before=before,
        on_progress=lambda done: program.progress("loss", done, len(fitting)),
        stop_requested=lambda: program.stop_requested,
    )
    found.update(zip(fitting, [_mean(one.mean) for one in scoring.scores], strict=True))
    return [found[index] for index in range(len(examples))]


def _mean(mean: float | None) -> float | NotScored:
    if mean is None:
        return NotScored("the chat template leaves nothing of the answer to be predicted")
    return mean if math.isfinite(mean) else NotScored("the model's output is not a number")
