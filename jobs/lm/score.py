"""How surprised a model is by given answers: the loss of every supervised token, for many conversations at once.

For the held-out loss, the loss on the dev set, perplexity and IFD. Each conversation's losses are those of a forward
call of its own; here conversations of similar length are one batch, what they start with is encoded once for all of
them, and logits exist only where there is a label.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from jobs.lm.architectures import supports_shared_prefix
from jobs.lm.layout import Sequences
from jobs.lm.masks import additive
from jobs.lm.onednn import onednn_linears
from jobs.lm.prefix_attention import Prefix, encode_prefix, prefix_attention
from jobs.lm.prefix_groups import Group, prefix_groups
from jobs.lm.render import IGNORE
from jobs.lm.token_losses import scored_positions, token_losses
from sftjobs.program import Stopped

MAX_TOKENS = 1 << 11
"""Tokens of one forward call, padding included; more are no faster on a CPU."""
MAX_LOGITS = 1 << 26
"""Numbers in the logits of one forward call: 256 MiB in float32. A conversation alone may have more."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of one conversation."""

    losses: list[float]
    """-log p of each supervised token given what stands before it, nats; the first token of all has none."""

    @property
    def summed(self) -> float:
        """-log p of all supervised tokens together, nats."""
        return sum(self.losses)

    @property
    def mean(self) -> float | None:
        """Nats per supervised token; None without any."""
        return self.summed / len(self.losses) if self.losses else None


@dataclass(frozen=True, slots=True)
class Scoring:
    """All scores, in the order of the conversations."""

    scores: list[Score]
    refused: str | None
    """Why common starts were not encoded once; None if they could be."""
    saved_tokens: int
    """Tokens that were not encoded again, because another conversation starts with the same."""


def score(
    model: PreTrainedModel,
    sequences: Sequences,
    *,
    before: Prefix | None = None,
    on_progress: Callable[[int], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Scoring:
    """The losses of the supervised tokens of each sequence; labels as the renderer gives them, not shifted.

    `before` (jobs/lm/learned_prefix.py) stands before each of them. `on_progress` gets the number of scored sequences
    after each batch. Raises Stopped if `stop_requested` says so. The model is used as it is: call `eval()` before, or
    dropout takes part.
    """
    places = [[t for t, label in enumerate(labels) if t and label != IGNORE] for labels in sequences.labels]
    found = {index: Score([]) for index, scored in enumerate(places) if not scored}
    refused = supports_shared_prefix(model.config)
    assert before is None or refused is None, "training refuses such a model"
    members = [index for index, scored in enumerate(places) if scored]
    # What predicts the first supervised token is left over: each sequence scores its own.
    heads = [[] if refused else sequences.ids[index][: places[index][0] - 1] for index in members]
    groups = prefix_groups(heads)
    with onednn_linears(model):
        for group in groups:
            group = Group([members[place] for place in group.members], group.shared)
            prefix = encode_prefix(model, list(sequences.ids[group.members[0]][: group.shared]), before)
            for batch in _batches(model, group, places):
                if stop_requested():
                    raise Stopped(f"{len(found)} of {len(places)} conversations were scored")
                found.update(
                    zip(batch, _score_batch(model, prefix, group.shared, batch, sequences, places), strict=True)
                )
                if on_progress is not None:
                    on_progress(len(found))
    saved = sum((len(group.members) - 1) * group.shared for group in groups)
    return Scoring([found[index] for index in range(len(places))], refused, saved)


def _batches(model: PreTrainedModel, group: Group, places: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The longest first: what does not fit into memory fails at once."""
    most = MAX_LOGITS // model.config.get_text_config().vocab_size
    rest = sorted(group.members, key=lambda index: -places[index][-1])
    while rest:
        longest = places[rest[0]][-1] - group.shared
        count, logits = 0, 0
        while count < len(rest) and (count + 1) * longest <= MAX_TOKENS:
            logits += len(places[rest[count]])
            if logits > most:
                break
            count += 1
        yield rest[: max(1, count)]
        rest = rest[max(1, count) :]


@torch.inference_mode()
def _score_batch(
    model: PreTrainedModel,
    prefix: Prefix | None,
    shared: int,
    batch: Sequence[int],
    sequences: Sequences,
    places: Sequence[Sequence[int]],
) -> list[Score]:
    """Rows without the `shared` tokens that `prefix` ends with, up to the token before the last supervised one, padded
    on the right."""
    start = 0 if prefix is None else prefix.tokens
    # The last supervised token is only predicted, and what stands after it is not needed at all.
    rests = [sequences.ids[index][shared : places[index][-1]] for index in batch]
    length = max(map(len, rests))
    ids = torch.tensor([[*rest, *[0] * (length - len(rest))] for rest in rests])
    positions = [row * length + t - 1 - shared for row, index in enumerate(batch) for t in places[index]]
    targets = [sequences.labels[index][t] for index in batch for t in places[index]]
    mask = None
    if prefix is not None:
        causal = torch.ones((length, length), dtype=torch.bool, device=model.device).tril()
        mask = additive(causal, model.dtype).expand(len(batch), 1, length, length)
    where = torch.tensor(positions, device=model.device)
    with prefix_attention(model, prefix) as more, scored_positions(model, where):
        logits = model(
            input_ids=ids.to(model.device),
            position_ids=torch.arange(start, start + length, device=model.device)[None, :],
            attention_mask=mask,  # without a prefix none: padding stands behind what it could disturb
            use_cache=False,
            **more,
        ).logits
    losses = iter(token_losses(logits, torch.tensor(targets, device=logits.device)).tolist())
    return [Score([next(losses) for _ in places[index]]) for index in batch]
