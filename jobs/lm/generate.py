"""Greedy answers to many prompts: sorted by length, in batches, with the prompts' common start encoded once.

Business prompts are mostly alike: the instruction and the label definitions come first, the input last. The tokens that
all prompts share are run through the model once; each batch then holds only what differs (`prefix_attention`). The
answers are those of `model.generate(do_sample=False)` on one prompt after another, up to ties in the last digit.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, PreTrainedModel

from jobs.lm.prefix import supports_shared_prefix
from jobs.lm.prefix_attention import Prefix, encode_prefix, shared_prefix_attention
from jobs.lm.render import common_prefix
from sftjobs.program import Stopped

COMPACT = 0.75
"""Rows that are finished leave a batch once so few of its rows are left."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said to one prompt."""

    ids: list[int]
    """Without the token that ended it."""
    ended: bool
    """False if it was cut off at `max_new_tokens`."""


@dataclass(frozen=True, slots=True)
class Generation:
    """All answers, in the order of the prompts, and what they took."""

    answers: list[Answer]
    prefix_tokens: int
    """Tokens at the start of every prompt that were encoded once."""
    refused: str | None
    """Why the prefix was not shared; None if it could be."""
    prompt_tokens: int
    new_tokens: int
    seconds: float


def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: Sequence[int],
    max_new_tokens: int,
    batch_size: int,
    on_progress: Callable[[int], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Generation:
    """Answer every prompt greedily, at most `max_new_tokens` tokens, ended by any of `stop_ids`.

    `on_progress` gets the number of answered prompts after each batch. Raises Stopped if `stop_requested` says so.
    """
    started = time.monotonic()
    # The longest first: what does not fit into memory fails at once.
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    refused = supports_shared_prefix(model.config)
    # One token of each prompt is left over: its logits give the first token of the answer.
    shared = 0 if refused or not prompts else min(common_prefix(prompts), min(map(len, prompts)) - 1)
    answers: dict[int, Answer] = {}
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    prefix = encode_prefix(model, list(prompts[0][:shared])) if prompts else None
    for batch in batches:
        if stop_requested():
            raise Stopped(f"{len(answers)} of {len(prompts)} answers were generated")
        rests = [list(prompts[index][shared:]) for index in batch]
        if refused:
            found = _answer_by_library(model, rests, stop_ids, max_new_tokens)
        else:
            found = _answer_batch(model, prefix, rests, stop_ids, max_new_tokens)
        answers.update(zip(batch, found, strict=True))
        if on_progress is not None:
            on_progress(len(answers))
    return Generation(
        answers=[answers[index] for index in range(len(prompts))],
        prefix_tokens=shared,
        refused=refused,
        prompt_tokens=sum(map(len, prompts)),
        new_tokens=sum(len(answer.ids) + answer.ended for answer in answers.values()),
        seconds=time.monotonic() - started,
    )


@torch.inference_mode()
def _answer_batch(
    model: PreTrainedModel, prefix: Prefix | None, rests: list[list[int]], stop_ids: Sequence[int], limit: int
) -> list[Answer]:
    """Decode one batch of rows that go on after `prefix`."""
    ids, visible = _left_padded(rests, model.device)
    stops = torch.tensor(list(stop_ids), device=model.device)
    offset = 0 if prefix is None else prefix.tokens
    cache = DynamicCache()
    told: list[list[int]] = [[] for _ in rests]
    ended = [False] * len(rests)
    rows = torch.arange(len(rests), device=model.device)  # row of the cache -> row of the batch
    mask = _causal_mask(visible, model.dtype)
    places = offset + (visible.long().cumsum(-1) - 1).clamp(min=0)
    with shared_prefix_attention(model):
        for _ in range(limit):
            logits = model(
                input_ids=ids,
                position_ids=places,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                shared_prefix=prefix,
            ).logits
            chosen = logits[:, -1].argmax(-1)
            _record(rows.tolist(), chosen.tolist(), torch.isin(chosen, stops).tolist(), told, ended)
            going = torch.tensor([not ended[row] for row in rows.tolist()], device=model.device)
            if not going.any():
                break
            if going.sum() <= COMPACT * len(rows):
                cache.batch_select_indices(going)
                rows, chosen, visible, places = rows[going], chosen[going], visible[going], places[going]
            ids, places = chosen[:, None], places[:, -1:] + 1
            visible = torch.cat([visible, visible.new_ones(len(rows), 1)], dim=1)
            mask = _additive(visible[:, None, None, :], model.dtype)
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
    return _additive(causal[None, None] & visible[:, None, None, :], dtype)


def _additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a token may look; the lowest number (not infinity: padding may look nowhere) where it may not."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, torch.finfo(dtype).min)


@torch.inference_mode()
def _answer_by_library(
    model: PreTrainedModel, prompts: list[list[int]], stop_ids: Sequence[int], limit: int
) -> list[Answer]:
    """The way of `transformers`, for architectures of which it is not known that a prefix can be shared."""
    ids, visible = _left_padded(prompts, model.device)
    # Every setting that could come from the model's own generation config is given: answers are the plain argmax.
    greedy = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=limit,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=list(stop_ids),
        pad_token_id=stop_ids[0],
        temperature=1.0,
        top_p=1.0,
        top_k=50,
    )
    out = model.generate(input_ids=ids, attention_mask=visible.long(), generation_config=greedy)  # type: ignore[operator]
    return [_cut(row, stop_ids) for row in out[:, ids.shape[1] :].tolist()]


def _cut(tokens: list[int], stop_ids: Sequence[int]) -> Answer:
    """The tokens before the first that ends the answer."""
    stops = set(stop_ids)
    for place, token in enumerate(tokens):
        if token in stops:
            return Answer(tokens[:place], True)
    return Answer(tokens, False)
