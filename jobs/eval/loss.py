"""The loss of the expected answers under the model."""

import math
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from jobs.answers.metrics import NotScored
from jobs.eval.examples import Example
from jobs.lm.prefix import Layouts, Sequences
from jobs.lm.render import IGNORE, Renderer
from jobs.lm.token_losses import scored_positions, token_losses
from sftjobs.program import Program, Stopped


def answer_losses(
    model: PreTrainedModel, renderer: Renderer, examples: Sequence[Example], program: Program
) -> list[float | NotScored]:
    """Mean loss (nats) per token of each expected answer, the token that ends it included.

    Only the last answer of a conversation counts, as for every other metric. Raises Stopped on request.
    """
    conversations = [example.messages for example in examples]
    rendered, prompts = renderer.render(conversations), renderer.prompts(conversations)
    labels = [[IGNORE] * len(prompt) + one.labels[len(prompt) :] for one, prompt in zip(rendered, prompts, strict=True)]
    context = getattr(model.config, "max_position_embeddings", None)
    found: dict[int, float | NotScored] = {
        index: NotScored(f"question and answer have {len(one.ids):,} tokens, more than the model's {context:,}")
        for index, one in enumerate(rendered)
        if context is not None and len(one.ids) > context
    }
    order = sorted(set(range(len(examples))) - found.keys(), key=lambda index: -len(rendered[index].ids))
    layouts = Layouts(model.config, renderer.stop_ids[0])
    size = program.plan.operation.batch_size
    for start in range(0, len(order), size):
        if program.stop_requested:
            raise Stopped(f"the loss of {start} of {len(order)} answers was computed")
        chosen = order[start : start + size]
        sequences = Sequences([rendered[index].ids for index in chosen], [labels[index] for index in chosen])
        means = _means(model, layouts, sequences)
        found.update(zip(chosen, means, strict=True))
        program.progress("loss", min(start + size, len(order)), len(order))
    return [found[index] for index in range(len(examples))]


@torch.inference_mode()
def _means(model: PreTrainedModel, layouts: Layouts, sequences: Sequences) -> list[float | NotScored]:
    batch = layouts.lay_out(sequences).to(model.device)
    with scored_positions(model, batch.positions):
        logits = model(**batch.inputs, use_cache=False).logits
    losses = token_losses(logits, batch.targets).double()
    owners = torch.zeros(len(sequences.ids), dtype=torch.float64, device=model.device)
    sums = owners.index_add(0, batch.owners, losses)
    tokens = owners.index_add(0, batch.owners, torch.ones_like(losses))
    return [_mean(*one) for one in zip(sums.tolist(), tokens.tolist(), strict=True)]


def _mean(total: float, tokens: float) -> float | NotScored:
    if not tokens:
        return NotScored("the chat template leaves nothing of the answer to be predicted")
    return total / tokens if math.isfinite(total) else NotScored("the model's output is not a number")
