"""What was exported is opened again and has to say what the trained model said.

trained, adapter apart        =  adapter/ opened with peft on the base model
                              =  trained, adapter merged, or the base model behind the keys and values of virtual tokens
trained, rounded as stored    =  model/ opened

All in float32 on two training examples, so that what is compared differs by the order of sums only. In the format of
the files it would not: `from_pretrained` keeps rotary frequencies in float32 where `model.to(bfloat16)` rounds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from jobs.lm.generate import generate
from jobs.lm.learned_prefix import learned_prefix, read_virtual_tokens
from jobs.lm.load import load_model
from jobs.lm.prefix_attention import Prefix
from jobs.lm.render import IGNORE
from jobs.train.examples import TrainingSet
from jobs.train.memory import give_back
from jobs.train.model import on_the_base
from sftjobs.errors import DataError, SftError

EXAMPLES = 2
TOKENS = 32
"""Logits are compared on so many last tokens of an example, without what is before them: every weight takes part, in a
seventh of the time that a prompt of 230 tokens takes."""
TOLERANCE = 1e-3
"""Of the largest logit, at least 1: sums of float32 numbers in another order differ by far less."""
NEW_TOKENS = 16


@dataclass
class Recheck:
    """The examples, and what has been found so far."""

    sequences: list[list[int]]
    prompts: list[list[int]]
    example_ids: list[str]
    differences: dict[str, float] = field(default_factory=dict)
    """What was compared -> largest difference of two logits."""
    answers: list[dict[str, Any]] = field(default_factory=list)
    """Of the exported model, greedy: id, tokens, and whether the answer came to an end within NEW_TOKENS."""

    @classmethod
    def on(cls, examples: TrainingSet) -> "Recheck":
        """On the shortest examples."""
        chosen = sorted(range(len(examples.lengths)), key=lambda number: (examples.lengths[number], number))[:EXAMPLES]
        rows = [examples.token_ids[number].tolist() for number in chosen]
        labels = [examples.labels[number].tolist() for number in chosen]
        starts = [next(place for place, label in enumerate(row) if label != IGNORE and place) for row in labels]
        prompts = [row[:start] for row, start in zip(rows, starts, strict=True)]
        return cls(rows, prompts, [examples.example_ids[number] for number in chosen])

    def adapter(self, folder: Path, base: Path, expected: list[Tensor], device: torch.device) -> None:
        """Raises SftError if the adapter in `folder`, opened on the base model, is not what was trained."""
        give_back()
        on_base = on_the_base(folder, base)
        self.compare("adapter on the base model", self.logits(on_base.to(device)), expected)

    def virtual_tokens(
        self, folder: Path, base: Path, expected: list[Tensor], stop_ids: Sequence[int], device: torch.device
    ) -> None:
        """Raises SftError if the virtual tokens in `folder` are not what was trained, for peft or for evaluation.

        `expected`: logits of the trained model; where they have more rows than tokens, the last ones count.
        """
        ends = [logits[-len(row[-TOKENS:]) :] for logits, row in zip(expected, self.sequences, strict=True)]
        self.adapter(folder, base, expected, device)
        opened = load_model(base)
        opened.to(device)  # type: ignore[arg-type]
        before = learned_prefix(opened, read_virtual_tokens(folder))
        self.compare("virtual tokens before the prompt", self.logits(opened, before), ends)
        self._answer(opened, stop_ids, before)

    def model(self, folder: Path, expected: list[Tensor], stop_ids: Sequence[int], device: torch.device) -> None:
        """Raises SftError if the model in `folder` is not what was trained, DataError if it cannot compute."""
        give_back()
        opened = load_model(folder)
        opened.to(device)  # type: ignore[arg-type]
        self.compare("exported model", self.logits(opened), expected)
        self._answer(opened, stop_ids)

    def _answer(self, model: PreTrainedModel, stop_ids: Sequence[int], before: Prefix | None = None) -> None:
        made = generate(
            model,
            self.prompts,
            stop_ids=stop_ids,
            max_new_tokens=NEW_TOKENS,
            batch_size=EXAMPLES,
            before=before,
        )
        for name, answer in zip(self.example_ids, made.answers, strict=True):
            if not answer.ended and len(answer.ids) != NEW_TOKENS:
                raise SftError(f"export: the answer to example {name} broke off after {len(answer.ids)} tokens")
            self.answers.append({"id": name, "tokens": answer.ids, "ended": answer.ended})

    def note(self, what: str, found: list[Tensor], expected: list[Tensor]) -> None:
        """Note the largest difference of what is known to differ."""
        self.differences[what] = largest_difference(found, expected)

    def section(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """For the report: what was compared, and the answers as text."""
        answers = [
            {
                "id": answer["id"],
                "text": tokenizer.decode(answer["tokens"], skip_special_tokens=True),
                "ended": answer["ended"],
            }
            for answer in self.answers  # none on ranks that export nothing
        ]
        return {"differences": self.differences, "answers": answers}

    @torch.no_grad()
    def logits(self, model: nn.Module, before: Prefix | None = None) -> list[Tensor]:
        """On the end of each example, [tokens, vocabulary], in float32 and without dropout; `before`: behind it."""
        # The Trainer has wrapped `forward` in autocast.
        plain = extract_model_from_parallel(model, keep_fp32_wrapper=False).eval()
        device = next(plain.parameters()).device
        return [
            plain(
                input_ids=torch.tensor([row[-TOKENS:]], device=device),
                past_key_values=None if before is None else before.cache(),
            )
            .logits[0]
            .float()
            .cpu()
            for row in self.sequences
        ]

    def compare(self, what: str, found: list[Tensor], expected: list[Tensor]) -> None:
        """Note the largest difference. Raises SftError if it is too large, DataError if a logit is not finite."""
        if not all(torch.isfinite(one).all() for one in found):
            raise DataError(
                f"export: the {what} gives logits that are not finite on training example {self.example_ids[0]}; "
                "train with a lower learning rate"
            )
        largest = largest_difference(found, expected)
        limit = TOLERANCE * max(1.0, max(one.abs().max().item() for one in expected))
        self.differences[what] = largest
        if largest > limit:
            raise SftError(
                f"export: the {what} differs from what was trained: a logit on training examples "
                f"{', '.join(self.example_ids)} is off by {largest:.3g}, at most {limit:.3g} is rounding; the disk may "
                "be damaged, or this architecture cannot be exported in this way: report it"
            )


def largest_difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """Of two logits at one place."""
    return max((one - other).abs().max().item() for one, other in zip(found, expected, strict=True))


def round_weights(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Round every parameter to `dtype` and hold it as float32: what `model` then says is what the files will say."""
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(value.to(dtype).to(value.dtype))
