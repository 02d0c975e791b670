"""Choosing the next token: the most likely one, or one drawn by temperature and nucleus.

A draw depends on the seed, the index of the prompt and the number of the token, never on the batch: answers are alike
whatever the batch size, up to the last digit of the logits.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_LIKELY = 512
"""Tokens that are looked at first for a nucleus; sorting a whole vocabulary is dear."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen. Temperature 0: the most likely one."""

    temperature: float = 0.0
    top_p: float = 1.0
    """Draw from the fewest tokens that make up this probability (nucleus; Holtzman et al. 2020, arXiv 1904.09751)."""
    seed: int = 0


class Chooser:
    """Chooses one token per row and step."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._streams: dict[int, random.Random] = {}

    def choose(self, logits: Tensor, prompts: Sequence[int]) -> Tensor:
        """Ids [B] for `logits` [B, vocabulary]; `prompts` are the indices of the prompts of the rows.

        One number is taken from the stream of each prompt, so call it once per prompt and token.
        """
        if self._sampling.temperature == 0:
            return logits.argmax(-1)
        draws = [self._stream(prompt).random() for prompt in prompts]
        return draw(logits, draws, self._sampling.temperature, self._sampling.top_p)

    def _stream(self, prompt: int) -> random.Random:
        if prompt not in self._streams:
            # A string is hashed whole, so neighbouring seeds and prompts have unrelated streams.
            self._streams[prompt] = random.Random(f"{self._sampling.seed} {prompt}")
        return self._streams[prompt]


def draw(logits: Tensor, uniform: Sequence[float], temperature: float, top_p: float) -> Tensor:
    """Ids [B]: where the cumulated probability of the kept tokens, in the order of their ids, passes `uniform` [0, 1).

    In the order of ids and not of probabilities: there two tokens as good as equal would change places with the last
    digit of a logit, and a draw with them.
    """
    probabilities = torch.softmax(logits.double() / temperature, dim=-1)
    if top_p < 1:
        probabilities = probabilities.masked_fill(probabilities < _least_kept(probabilities, top_p), 0.0)
    cumulated = probabilities.cumsum(-1)
    wanted = torch.tensor(uniform, dtype=cumulated.dtype, device=cumulated.device)[:, None] * cumulated[:, -1:]
    places = torch.searchsorted(cumulated, wanted, right=True)[:, 0]
    # Rounding may take the last step beyond the last kept token.
    last = probabilities.shape[-1] - 1 - (probabilities.flip(-1) > 0).int().argmax(-1)
    return torch.minimum(places, last)


def _least_kept(probabilities: Tensor, top_p: float) -> Tensor:
    """[B, 1]: the smallest probability in the nucleus, the fewest tokens that make up `top_p`."""
    likely = probabilities.topk(min(_LIKELY, probabilities.shape[-1]), dim=-1).values
    if bool((likely.sum(-1) < top_p).any()):
        likely = probabilities.sort(dim=-1, descending=True).values
    before = likely.cumsum(-1) - likely
    kept = (before < top_p).sum(-1, keepdim=True)
    return likely.gather(-1, (kept - 1).clamp(min=0))
