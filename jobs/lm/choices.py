"""Log-probabilities of the same few answers after each of many prompts: which label does the model find most likely?

    prefix   what all prompts share, encoded once for all                            (prefix_attention)
    row      the rest of one prompt, then the trie of all answers: r1 .. rn t1 t2 ..  (trie)
    mask     a node of the trie sees prefix, rest, and the nodes on its own way from the root

Answers that begin alike share those tokens, and the prompt is never encoded again for another answer: one row per
prompt gives the log-probability of every answer. The end of the turn is scored like any token: an answer is likely only
if the model would stop after it.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from jobs.lm.architectures import supports_shared_prefix
from jobs.lm.masks import additive
from jobs.lm.message import Message
from jobs.lm.onednn import onednn_linears
from jobs.lm.prefix_attention import Prefix, encode_prefix, shared_prefix_attention
from jobs.lm.render import IGNORE, Renderer, common_prefix
from jobs.lm.trie import Trie, tries
from sftjobs.program import Stopped

MAX_LOGITS = 1 << 26
"""Logits held at once: 256 MiB in float32. Decides how many rows a call has, and how large a trie may be."""
MAX_TOKENS = 2048
"""Tokens of one forward call; a single row may have more."""

Ids = Sequence[int]


def answers_in_context(
    renderer: Renderer, conversations: Sequence[Sequence[Message]], answers: Sequence[str]
) -> list[list[list[int]]]:
    """Ids of each answer with its end of turn, as they stand after the prompt of each conversation: [n][answers].

    The last message of a conversation (the expected answer) has no influence. Answers are tokenised after the first
    prompt; every other prompt is tried with one answer, and gets ids of its own if those differ.
    """
    if not conversations:
        return []
    shared = _answers_after(renderer, conversations[0], answers)
    found = [shared] * len(conversations)
    asked = [_with(conversation, answers[number % len(answers)]) for number, conversation in enumerate(conversations)]
    for number, (prompt, one) in enumerate(zip(renderer.prompts(asked), renderer.render(asked), strict=True)):
        if _supervised(one.labels, len(prompt)) != shared[number % len(answers)]:
            found[number] = _answers_after(renderer, conversations[number], answers)
    return found


def _answers_after(renderer: Renderer, conversation: Sequence[Message], answers: Sequence[str]) -> list[list[int]]:
    asked = [_with(conversation, answer) for answer in answers]
    start = len(renderer.prompts(asked[:1])[0])
    return [_supervised(one.labels, start) for one in renderer.render(asked)]


def _with(conversation: Sequence[Message], answer: str) -> list[Message]:
    return [*conversation[:-1], {"role": "assistant", "content": answer}]


def _supervised(labels: Ids, start: int) -> list[int]:
    """The tokens of the last turn that a model has to generate."""
    return [token for token in labels[start:] if token != IGNORE]


def log_probabilities(
    model: PreTrainedModel,
    prompts: Sequence[Ids],
    answers: Sequence[Ids],
    *,
    on_progress: Callable[[int], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> list[list[float]]:
    """Sum of the log-probabilities (nats) of the tokens of each answer after each prompt: [prompts][answers].

    `on_progress` gets the number of finished prompts. Equal to one forward call per prompt and answer, up to rounding.
    Raises Stopped if `stop_requested` says so.
    """
    assert all(answers), "an answer has no tokens"
    if not prompts or not answers:
        return [[] for _ in prompts]
    way = _by_rows if supports_shared_prefix(model.config) else _by_trie
    found: dict[int, list[float]] = {}
    parts = way(model, prompts, answers)
    with onednn_linears(model):
        while len(found) < len(prompts):
            if stop_requested():
                raise Stopped(f"the labels of {len(found)} of {len(prompts)} prompts were scored")
            found.update(next(parts))
            if on_progress is not None:
                on_progress(len(found))
    return [found[index] for index in range(len(prompts))]


def _by_trie(
    model: PreTrainedModel, prompts: Sequence[Ids], answers: Sequence[Ids]
) -> Iterator[dict[int, list[float]]]:
    """One row per prompt and trie; the longest prompts first: what does not fit into memory fails at once."""
    # One token of each prompt is left over: its logits give the first token of the answers.
    shared = min(common_prefix(prompts), min(map(len, prompts)) - 1)
    prefix = encode_prefix(model, list(prompts[0][:shared]))
    most = MAX_LOGITS // _vocabulary(model)
    forest = tries(answers, most - 1)
    nodes = max(len(trie.tokens) for trie in forest)
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    while order:
        rows = min(most // (nodes + 1), MAX_TOKENS // (len(prompts[order[0]]) - shared + nodes))
        batch, order = order[: max(1, rows)], order[max(1, rows) :]
        rests = [list(prompts[index][shared:]) for index in batch]
        values = torch.zeros((len(batch), len(answers)))
        for trie in forest:
            values[:, trie.answers] = _score(model, prefix, rests, trie).cpu()
        yield dict(zip(batch, values.tolist(), strict=True))


@torch.inference_mode()
def _score(model: PreTrainedModel, prefix: Prefix | None, rests: list[list[int]], trie: Trie) -> Tensor:
    """[rests, answers of the trie] in float32."""
    offset = 0 if prefix is None else prefix.tokens
    longest = max(map(len, rests))
    pads = torch.tensor([longest - len(rest) for rest in rests])
    ids = torch.tensor([[0] * (longest - len(rest)) + rest + trie.tokens for rest in rests])
    places = torch.arange(longest)[None, :] - pads[:, None]
    below = (longest - pads)[:, None] + torch.tensor(trie.depths, dtype=torch.long)[None, :]
    with shared_prefix_attention(model):
        logits = model(
            input_ids=ids.to(model.device),
            position_ids=(offset + torch.cat([places.clamp(min=0), below], dim=1)).to(model.device),
            attention_mask=_mask(places >= 0, trie.visible, model.dtype).to(model.device),
            use_cache=False,
            logits_to_keep=len(trie.tokens) + 1,
            shared_prefix=prefix,
        ).logits
    columns, targets, owners = (part.to(logits.device) for part in (trie.columns, trie.targets, trie.owners))
    sums = torch.zeros((len(rests), len(trie.answers)), device=logits.device)
    for row, scores in enumerate(logits):  # row by row: the exponentials need as much memory as the logits
        scores = scores.float()
        found = scores[columns, targets] - torch.logsumexp(scores, dim=-1)[columns]
        sums[row].index_add_(0, owners, found)
    return sums


def _mask(real: Tensor, visible: Tensor, dtype: torch.dtype) -> Tensor:
    """[rows, 1, n, n], added to the scores: rests (padded on the left) causal, nodes as the trie says.

    real: [rows, longest rest], false for padding. The lowest number stands for "not seen", not infinity: padding sees
    nothing at all.
    """
    rows, longest = real.shape
    n = longest + len(visible)
    seen = torch.zeros((rows, n, n), dtype=torch.bool)
    causal = torch.ones((longest, longest), dtype=torch.bool).tril()
    seen[:, :longest, :longest] = causal[None] & real[:, None, :]
    seen[:, longest:, :longest] = real[:, None, :]
    seen[:, longest:, longest:] = visible[None]
    return additive(seen[:, None], dtype)


def _by_rows(
    model: PreTrainedModel, prompts: Sequence[Ids], answers: Sequence[Ids]
) -> Iterator[dict[int, list[float]]]:
    """A row per prompt and answer, without padding: right for every architecture, and slower by the label count."""
    keep = max(map(len, answers))
    lengths: dict[int, list[int]] = {}
    for index, answer in enumerate(answers):
        lengths.setdefault(len(answer), []).append(index)
    for number, prompt in enumerate(prompts):
        values = torch.zeros(len(answers))
        for length, group in lengths.items():
            step = max(1, min(MAX_LOGITS // (_vocabulary(model) * keep), MAX_TOKENS // (len(prompt) + length)))
            for start in range(0, len(group), step):
                chosen = group[start : start + step]
                values[chosen] = _score_rows(model, prompt, [answers[index] for index in chosen]).cpu()
        yield {number: values.tolist()}


@torch.inference_mode()
def _score_rows(model: PreTrainedModel, prompt: Ids, answers: list[Ids]) -> Tensor:
    """[answers], all of one length."""
    length = len(answers[0])
    ids = torch.tensor([[*prompt, *answer[:-1]] for answer in answers], device=model.device)
    targets = torch.tensor([list(answer) for answer in answers], device=model.device)
    only = {"logits_to_keep": length} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    logits = model(input_ids=ids, use_cache=False, **only).logits[:, -length:].float()
    found = torch.log_softmax(logits, dim=-1).gather(-1, targets[..., None])
    return found[..., 0].sum(dim=1)


def _vocabulary(model: PreTrainedModel) -> int:
    return int(model.get_output_embeddings().weight.shape[0])
