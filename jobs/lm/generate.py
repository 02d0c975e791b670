"""Answers of a local model to many prompts: in batches of similar length, with a common start encoded once.

Business prompts are mostly alike: the instruction and the label definitions come first, the input last. The tokens that
prompts share are run through the model once; each batch then holds only what differs (`prefix_attention`). Greedy
answers are those of `model.generate(do_sample=False)` on one prompt after another, up to ties in the last digit.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from jobs.lm.architectures import supports_shared_prefix
from jobs.lm.generation import Answer, Generation
from jobs.lm.masks import additive
from jobs.lm.onednn import onednn_linears
from jobs.lm.positions import context_length
from jobs.lm.prefix_attention import Prefix, encode_prefix, prefix_attention
from jobs.lm.prefix_groups import Group, prefix_groups
from jobs.lm.sampling import Chooser, Sampling
from sftjobs.program import Stopped

__all__ = ["Answer", "Generation", "Sampling", "generate"]

COMPACT = 0.75
"""Rows that are finished leave a batch once so few of its rows are left."""
MAX_TOKENS = 1 << 14
"""Tokens of one forward call, padding included: long prompts that share nothing get fewer rows."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Prompts by index that are answered together, each with at most `limit` tokens."""

    prompts: list[int]
    limit: int


@dataclass(frozen=True, slots=True)
class _Decoder:
    """What every batch needs."""

    model: PreTrainedModel
    stop_ids: Sequence[int]
    chooser: Chooser


def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: Sequence[int],
    max_new_tokens: int,
    batch_size: int,
    sampling: Sampling | None = None,
    before: Prefix | None = None,
    on_progress: Callable[[int], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Generation:
    """Answer every prompt, at most `max_new_tokens` tokens, ended by any of `stop_ids`; greedily without `sampling`.

    `before` (jobs/lm/learned_prefix.py) stands before every prompt. No answer goes beyond the context of the model
    (`max_position_embeddings`). `on_progress` gets the number of answered prompts after each batch. Raises Stopped if
    `stop_requested` says so.
    """
    started = time.monotonic()
    room = context_room(context_length(model.config), prompts, max_new_tokens, before.tokens if before else 0)
    answers = {index: Answer([], False) for index, limit in enumerate(room) if limit <= 0}
    refused = supports_shared_prefix(model.config)
    assert before is None or refused is None, "training refuses such a model"
    groups = _groups(prompts, [index for index, limit in enumerate(room) if limit > 0], share=refused is None)
    decoder = _Decoder(model, stop_ids, Chooser(sampling or Sampling()))
    with onednn_linears(model):
        for group in groups:
            prefix = encode_prefix(model, list(prompts[group.members[0]][: group.shared]), before)
            for batch in _batches(group, prompts, room, batch_size):
                if stop_requested():
                    raise Stopped(f"{len(answers)} of {len(prompts)} answers were generated")
                rests = [list(prompts[index][group.shared :]) for index in batch.prompts]
                found = (_answer_by_library if refused else _answer_batch)(decoder, prefix, rests, batch)
                answers.update(zip(batch.prompts, found, strict=True))
                if on_progress is not None:
                    on_progress(len(answers))
    return Generation(
        answers=[answers[index] for index in range(len(prompts))],
        prefix_tokens=groups[0].shared if groups else 0,
        refused=refused,
        prompt_tokens=sum(map(len, prompts)),
        new_tokens=sum(len(answer.ids) + answer.ended for answer in answers.values()),
        seconds=time.monotonic() - started,
        beyond_context=sum(limit < max_new_tokens for limit in room),
        saved_tokens=sum((len(group.members) - 1) * group.shared for group in groups),
    )


def context_room(
    context: int | None, prompts: Sequence[Sequence[int]], max_new_tokens: int, before: int = 0
) -> list[int]:
    """How many tokens each answer may have; less than `max_new_tokens`, or none, where the context (tokens) ends.

    `before`: virtual tokens before each prompt.
    """
    if context is None:
        return [max_new_tokens] * len(prompts)
    return [min(max_new_tokens, context - before - len(prompt)) for prompt in prompts]


def _groups(prompts: Sequence[Sequence[int]], members: list[int], share: bool) -> list[Group]:
    if not share:
        return [Group(members, 0)] if members else []
    # One token of each prompt is left over: its logits give the first token of the answer.
    found = prefix_groups([prompts[index][:-1] for index in members])
    return [Group([members[place] for place in group.members], group.shared) for group in found]


def _batches(group: Group, prompts: Sequence[Sequence[int]], room: Sequence[int], batch_size: int) -> Iterator[_Batch]:
    """The longest prompts first: what does not fit into memory fails at once."""
    by_limit = sorted(group.members, key=lambda index: (-room[index], -len(prompts[index])))
    for limit, same in groupby(by_limit, key=lambda index: room[index]):
        rows = list(same)
        while rows:
            longest = max(1, len(prompts[rows[0]]) - group.shared)
            count = max(1, min(batch_size, MAX_TOKENS // longest))
            yield _Batch(rows[:count], limit)
            rows = rows[count:]


@torch.inference_mode()
def _answer_batch(decoder: _Decoder, prefix: Prefix | None, rests: list[list[int]], batch: _Batch) -> list[Answer]:
    """Decode one batch of rows that go on after `prefix`."""
    model = decoder.model
    ids, visible = _left_padded(rests, model.device)
    stops = torch.tensor(list(decoder.stop_ids), device=model.device)
    offset = 0 if prefix is None else prefix.tokens
    cache = DynamicCache()
    told: list[list[int]] = [[] for _ in rests]
    ended = [False] * len(rests)
    rows = list(range(len(rests)))  # row of the cache -> row of the batch
    mask = _causal_mask(visible, model.dtype)
    places = offset + (visible.long().cumsum(-1) - 1).clamp(min=0)
    with prefix_attention(model, prefix) as more:
        for step in range(1, batch.limit + 1):
            logits = model(
                input_ids=ids,
                position_ids=places,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **more,
            ).logits
            chosen = decoder.chooser.choose(logits[:, -1], [batch.prompts[row] for row in rows])
            _record(rows, chosen.tolist(), torch.isin(chosen, stops).tolist(), told, ended)
            going = [place for place, row in enumerate(rows) if not ended[row]]
            if not going or step == batch.limit:
                break
            if len(going) <= COMPACT * len(rows):
                kept = torch.tensor(going, device=model.device)
                cache.batch_select_indices(kept)
                rows = [rows[place] for place in going]
                chosen, visible, places = chosen[kept], visible[kept], places[kept]
            ids, places = chosen[:, None], places[:, -1:] + 1
            visible = torch.cat([visible, visible.new_ones(len(rows), 1)], dim=1)
            mask = additive(visible[:, None, None, :], model.dtype)
    return [Answer(tokens, done) for tokens, done in zip(told, ended, strict=True)]


def _record(rows: list[int], chosen: list[int], stops: list[bool], told: list[list[int]], ended: list[bool]) -> None:
    """Write down one step's tokens; a row that has ended but is still in the batch says nothing more."""
    for row, token, stop in zip(rows, chosen, stops, strict=True):
        if ended[row]:
            continue
        if stop:
            ended[row] = True
        else:
            told[row].append(token)


def _left_padded(rests: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids [B, R] with each row's last token in the last column, and which of them are real."""
    longest = max(map(len, rests))
    ids = torch.tensor([[0] * (longest - len(rest)) + rest for rest in rests], device=device)
    lengths = torch.tensor([len(rest) for rest in rests], device=device)
    visible = torch.arange(longest, device=device)[None, :] >= longest - lengths[:, None]
    return ids, visible


def _causal_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    length = visible.shape[1]
    causal = torch.ones((length, length), dtype=torch.bool, device=visible.device).tril()
    return additive(causal[None, None] & visible[:, None, None, :], dtype)


class _Chosen(LogitsProcessor):
    """Leaves only the chosen token, so that the greedy search of `transformers` takes it."""

    def __init__(self, chooser: Chooser, prompts: Sequence[int]) -> None:
        self._chooser, self._prompts = chooser, prompts

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        chosen = self._chooser.choose(scores, self._prompts)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen[:, None], 0.0)


@torch.inference_mode()
def _answer_by_library(decoder: _Decoder, _: Prefix | None, prompts: list[list[int]], batch: _Batch) -> list[Answer]:
    """The way of `transformers`, for architectures of which it is not known that a prefix can be shared."""
    model = decoder.model
    ids, visible = _left_padded(prompts, model.device)
    # Every setting that could come from the model's own generation config is given: the logits are taken as they are.
    greedy = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=batch.limit,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=list(decoder.stop_ids),
        pad_token_id=decoder.stop_ids[0],
        temperature=1.0,
        top_p=1.0,
        top_k=50,
    )
    out = model.generate(  # type: ignore[operator]
        input_ids=ids,
        attention_mask=visible.long(),
        generation_config=greedy,
        logits_processor=LogitsProcessorList([_Chosen(decoder.chooser, batch.prompts)]),
    )
    return [_cut(row, decoder.stop_ids) for row in out[:, ids.shape[1] :].tolist()]


def _cut(tokens: list[int], stop_ids: Sequence[int]) -> Answer:
    """The tokens before the first that ends the answer."""
    stops = set(stop_ids)
    for place, token in enumerate(tokens):
        if token in stops:
            return Answer(tokens[:place], True)
    return Answer(tokens, False)
