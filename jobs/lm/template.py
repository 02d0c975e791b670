"""The chat template as text: where each assistant turn begins and ends in it, and what ends a turn."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jinja2

from sftjobs.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = dict[str, Any]
"""`role` (system, user or assistant), `content`, and for an answer that is not to be trained `train`: False."""

_PROBE = "4f1c9a"  # text that no template contains

# Some templates print today's date; the same data must give the same tokens on every day.
_DATE = "26 Jul 2024"
_FIXED_CLOCK = "{%- macro strftime_now(format) -%}" + _DATE + "{%- endmacro -%}"

# Variables that templates know. Thinking models are trained and asked for the plain answer.
_VARIABLES: dict[str, Any] = {"date_string": _DATE, "enable_thinking": False}


@dataclass(frozen=True, slots=True)
class Turns:
    """A conversation as text with the places of the assistant's turns."""

    text: str
    spans: list[tuple[int, int]]
    """Characters [start, end) that the model has to generate, one pair per assistant turn that is trained."""
    last_start: int
    """Where the last assistant turn begins: the length of the prompt."""


class Template:
    """The chat template of a tokenizer. Raises DataError if there is none, or none that can be trained on."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._name = tokenizer.name_or_path or "the model"
        source = self._source()
        self.hash = hashlib.sha256(source.encode()).hexdigest()
        self._jinja = _FIXED_CLOCK + source if "strftime_now" in source else source
        self._has_system = self._probe_system()
        self._surplus = 0
        self.end_of_turn, self._surplus = self._probe_turn()
        self.stop_ids = self._find_stop_ids()

    def turns(self, conversation: Sequence[Message]) -> Turns:
        """Text and spans of a conversation whose last message is the assistant's."""
        messages = self._fold(conversation)
        if not messages or messages[-1]["role"] != "assistant":
            raise DataError("a conversation must end with a message of the assistant: it is what is trained")
        text = self._text(messages)
        trained = self._trained(conversation)
        places = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        spans = [self._span(text, messages, i) for i in places]
        wanted = [span for span, train in zip(spans, trained, strict=True) if train]
        return Turns(text, wanted, spans[-1][0])

    @staticmethod
    def _trained(conversation: Sequence[Message]) -> list[bool]:
        """Of each assistant's turn: every one is trained unless it says otherwise."""
        return [message.get("train", True) for message in conversation if message["role"] == "assistant"]

    def prompt(self, conversation: Sequence[Message]) -> str:
        """The text that makes the model write the last assistant message (which may be missing)."""
        messages = self._fold(conversation)
        if messages and messages[-1]["role"] == "assistant":
            messages = messages[:-1]
        return self._opened(messages)

    def _span(self, text: str, messages: list[Message], index: int) -> tuple[int, int]:
        """Where the turn `index` is in `text`: after its generation prompt, up to and with the end of the turn."""
        opened = self._opened(messages[:index])
        last = index == len(messages) - 1
        if text.startswith(opened):
            start = len(opened)
        elif last:
            raise DataError(
                f"{self._name}: the chat template does not begin the assistant's turn with its own generation prompt "
                f"({opened[-40:]!r}); put another chat_template.jinja into the model folder"
            )
        else:  # thinking models leave the thoughts of earlier turns out
            start = _shared(text, opened)
        content = messages[index]["content"]
        for answer in (content, content.strip()):  # many templates trim
            found = text.find(answer + self.end_of_turn, start)
            if found >= 0:
                return start, found + len(answer) + len(self.end_of_turn)
        raise DataError(
            f"{self._name}: the chat template does not keep the assistant's message {content[:60]!r} as it is; "
            "put another chat_template.jinja into the model folder"
        )

    def _opened(self, messages: list[Message]) -> str:
        if not messages:
            raise DataError("a conversation must begin with a question, not with a message of the assistant")
        text = self._text(messages, add_generation_prompt=True)
        return text[: len(text) - self._surplus]

    def _text(self, messages: list[Message], add_generation_prompt: bool = False) -> str:
        try:
            text = self._tokenizer.apply_chat_template(
                messages,
                chat_template=self._jinja,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **_VARIABLES,
            )
        except jinja2.TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise DataError(
                f"{self._name}: the chat template refuses a conversation with the roles {roles}: {error}"
            ) from error
        assert isinstance(text, str)
        return text

    def _fold(self, conversation: Sequence[Message]) -> list[Message]:
        """Put the system text before the first user message if the template has no place for it."""
        messages = [{"role": message["role"], "content": message["content"]} for message in conversation]
        if self._has_system or len(messages) < 2 or messages[0]["role"] != "system":
            return messages
        system, first, *others = messages
        return [{"role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}, *others]

    def _source(self) -> str:
        if not self._tokenizer.chat_template:
            raise DataError(
                f"{self._name}: the tokenizer has no chat template, so messages cannot be turned into text; "
                "use a chat or instruct model, or put a chat_template.jinja into the model folder"
            )
        return self._tokenizer.get_chat_template()

    def _probe_system(self) -> bool:
        try:
            return _PROBE in self._text([_message("system", _PROBE), _message("user", "?")])
        except DataError:
            return False

    def _probe_turn(self) -> tuple[str, int]:
        """What ends an assistant's turn, and how many characters of the generation prompt a plain answer lacks.

        Templates of reasoning models end the generation prompt with `<think>`, which a plain answer does not have.
        """
        question = [_message("user", "?")]
        text = self._text([*question, _message("assistant", _PROBE)])
        before, found, after = text.rpartition(_PROBE)
        end = after.rstrip()
        if not found or not end:
            raise DataError(
                f"{self._name}: the chat template writes nothing after the assistant's message, so the model could "
                "not learn to stop; put a chat_template.jinja that ends the turn into the model folder"
            )
        opened = self._text(question, add_generation_prompt=True)
        return end, len(opened) - _shared(before, opened)

    def _find_stop_ids(self) -> list[int]:
        ids = self._tokenizer(self.end_of_turn, add_special_tokens=False)["input_ids"]
        special = set(self._tokenizer.added_tokens_decoder)
        ends = [i for i in ids if i in special]
        if not ends:
            raise DataError(
                f"{self._name}: the end of the assistant's turn, {self.end_of_turn!r}, is no token of this tokenizer; "
                "end the turn with the end-of-text token in chat_template.jinja"
            )
        eos = self._tokenizer.eos_token_id
        return list(dict.fromkeys([ends[0], *([] if eos is None else [eos])]))


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _shared(a: str, b: str) -> int:
    """How many characters two texts share at their start."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
