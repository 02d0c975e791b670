"""The chat template as text: what it writes, where each assistant turn begins and ends in it, what ends a turn."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jinja2

from jobs.lm.message import Message
from jobs.lm.sandbox import compile_template
from jobs.lm.spans import Openings, Spans, shared_start
from sftjobs.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["DEFAULT_TEMPLATE", "Message", "Template", "Turns"]

DEFAULT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ 'Answer:\n' + message['content'] + eos_token + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'Question:\n' + message['content'] + '\n\n' }}"
    "{% else %}{{ message['content'] + '\n\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Answer:\n' }}{% endif %}"
)
"""For models that were never taught a chat format, e.g. GPT-2. Answers end with the end-of-text token."""

_PROBE = "4f1c9a"  # text that no template contains

# Some templates print today's date; the same data must give the same tokens on every day.
_DATE = "26 Jul 2024"

# Variables that templates know. Thinking models are trained and asked for the plain answer.
_VARIABLES: dict[str, Any] = {"tools": None, "documents": None, "date_string": _DATE, "enable_thinking": False}


@dataclass(frozen=True, slots=True)
class Turns:
    """A conversation as text with the places of the assistant's turns."""

    text: str
    spans: list[tuple[int, int]]
    """Characters [start, end) that the model has to generate, one pair per assistant turn that is trained."""
    last_start: int
    """Where the last assistant turn begins: the length of the prompt."""


class Template:
    """The chat template of a tokenizer; a tokenizer without one is given the default.

    Raises DataError if the template cannot be trained on.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._name = tokenizer.name_or_path or "the model"
        if not tokenizer.chat_template:
            self._check_default(tokenizer)
            tokenizer.chat_template = DEFAULT_TEMPLATE  # is saved with the tokenizer, so that the model is served alike
        source: str = tokenizer.get_chat_template()
        self.warning = self._warning(source)
        self.hash = hashlib.sha256(source.encode()).hexdigest()
        self._render = self._compile(source)
        self._variables = _VARIABLES | tokenizer.special_tokens_map
        self._has_system = self._probe_system()
        self._surplus = 0
        self.end_of_turn, self._surplus = self._probe_turn(tokenizer)
        openings = self._probe_openings()
        self.opening = openings.last
        """What stands between the last question and its answer."""
        self._spans = Spans(self._name, openings, self._opened)
        self.stop_ids = self._find_stop_ids(tokenizer)

    def turns(self, conversation: Sequence[Message]) -> Turns:
        """Text and spans of a conversation whose last message is the assistant's."""
        messages = self._fold(conversation)
        if not messages or messages[-1]["role"] != "assistant":
            raise DataError("a conversation must end with a message of the assistant: it is what is trained")
        text = self._text(messages)
        spans = self._spans.find(text, messages)
        trained = [message.get("train", True) for message in conversation if message["role"] == "assistant"]
        wanted = [span for span, train in zip(spans, trained, strict=True) if train]
        return Turns(text, wanted, spans[-1][0])

    def prompt(self, conversation: Sequence[Message]) -> str:
        """The text that makes the model write the last assistant message (which may be missing)."""
        messages = self._fold(conversation)
        if messages and messages[-1]["role"] == "assistant":
            messages = messages[:-1]
        return self._opened(messages)

    def _opened(self, messages: Sequence[Message]) -> str:
        if not messages:
            raise DataError("a conversation must begin with a question, not with a message of the assistant")
        text = self._text(messages, add_generation_prompt=True)
        return text[: len(text) - self._surplus]

    def _text(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
        try:
            text: str = self._render(messages=messages, add_generation_prompt=add_generation_prompt, **self._variables)
        except jinja2.TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise DataError(
                f"{self._name}: the chat template refuses a conversation with the roles {roles}: {error}"
            ) from error
        return text

    def _fold(self, conversation: Sequence[Message]) -> list[Message]:
        """Put the system text before the first user message if the template has no place for it."""
        messages = [_message(message["role"], message["content"]) for message in conversation]
        if self._has_system or len(messages) < 2 or messages[0]["role"] != "system":
            return messages
        system, first, *others = messages
        return [_message(first["role"], f"{system['content']}\n\n{first['content']}"), *others]

    def _compile(self, source: str) -> Any:
        try:
            return compile_template(source, _DATE)
        except jinja2.TemplateSyntaxError as error:
            raise DataError(f"{self._name}: chat template, line {error.lineno}: {error.message}") from error

    def _check_default(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        if tokenizer.eos_token is None:
            raise DataError(
                f"{self._name}: the tokenizer has no chat template, and no end-of-text token (eos_token) that could "
                "end an answer; use a chat or instruct model, or put a chat_template.jinja into the model folder"
            )

    def _warning(self, source: str) -> str | None:
        if source != DEFAULT_TEMPLATE:
            return None
        return (
            f"{self._name}: the tokenizer has no chat template, so the default one of sftjobs is used ('Question:', "
            "'Answer:'); what is known of how the model was trained may be better: put it into the model folder as "
            "chat_template.jinja"
        )

    def _probe_system(self) -> bool:
        try:
            return _PROBE in self._text([_message("system", _PROBE), _message("user", "?")])
        except DataError:
            return False

    def _probe_turn(self, tokenizer: "PreTrainedTokenizerBase") -> tuple[str, int]:
        """What ends an assistant's turn, and how many characters of the generation prompt a plain answer lacks.

        The end is all up to the first special token: some templates write more, e.g. the next generation prompt.
        Templates of reasoning models end the generation prompt with `<think>`, which a plain answer does not have.
        """
        question = [_message("user", "?")]
        text = self._text([*question, _message("assistant", _PROBE)])
        before, found, after = text.rpartition(_PROBE)
        if not found or not after.strip():
            raise DataError(
                f"{self._name}: the chat template writes nothing after the assistant's message, so the model could "
                "not learn to stop; put a chat_template.jinja that ends the turn into the model folder"
            )
        tokens = [str(token) for token in tokenizer.added_tokens_decoder.values()]
        ends = [token for token in tokens if token.strip() and token in after]
        if not ends:
            raise DataError(
                f"{self._name}: the end of the assistant's turn, {after.strip()!r}, is no token of this tokenizer; "
                "end the turn with the end-of-text token in chat_template.jinja"
            )
        opened = self._text(question, add_generation_prompt=True)
        first = min(ends, key=lambda token: (after.index(token), -len(token)))
        return after[: after.index(first) + len(first)], len(opened) - shared_start(before, opened)

    def _probe_openings(self) -> Openings:
        """What stands before the last answer, and before one that others follow."""
        question, answer = _message("user", f"{_PROBE}?"), _message("assistant", _PROBE)
        last = self._opened([question]).rpartition(f"{_PROBE}?")[2]
        text = self._text([question, answer, _message("user", "?"), answer])
        earlier = text.partition(f"{_PROBE}?")[2].partition(_PROBE)[0]
        return Openings(last, earlier, self.end_of_turn)

    def _find_stop_ids(self, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
        end: int = tokenizer(self.end_of_turn, add_special_tokens=False)["input_ids"][-1]
        eos = tokenizer.eos_token_id
        return list(dict.fromkeys([end, *([] if eos is None else [eos])]))


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
