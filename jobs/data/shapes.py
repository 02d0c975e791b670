"""The forms in which instruction data is published, and how each becomes a conversation.

messages           {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
sharegpt           {"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}
alpaca             {"instruction": "...", "input": "...", "output": "...", "system": "...", "history": [[q, a], ...]}
prompt_completion  {"prompt": "..." or messages, "completion": "..." or messages}
columns            anything, by the prompt file and `columns` of run.yaml
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from jobs.lm.message import Message
from sftjobs.spec.data import ColumnMap
from sftjobs.spec.words import listed

Shape = Literal["columns", "messages", "sharegpt", "alpaca", "prompt_completion"]
_ROLES = {
    "system": "system", "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "model": "assistant",
}  # fmt: skip
_UNSUPPORTED = ("tool", "function", "tool_calls", "function_call", "observation", "ipython")


class ShapeError(Exception):
    """A record that is not of its shape. `kind` is that of the problem."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def value_at(values: Mapping[str, Any], path: str) -> tuple[bool, Any]:
    """Whether there is a value at a dotted path, and the value; a key with dots in it comes first."""
    if path in values:
        return True, values[path]
    found: Any = values
    for part in path.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return False, None
    return "." in path, found


def shape_of(values: Mapping[str, Any]) -> Shape:
    """The shape of a record by its keys. Raises ShapeError if none or several fit."""
    fitting: list[Shape] = []
    if isinstance(values.get("messages"), list):
        fitting.append("messages")
    if isinstance(values.get("conversations"), list):
        fitting.append("sharegpt")
    if {"instruction", "output"} <= set(values):
        fitting.append("alpaca")
    if {"prompt", "completion"} <= set(values):
        fitting.append("prompt_completion")
    if len(fitting) == 1:
        return fitting[0]
    keys = listed([str(key) for key in values][:12], "and") or "nothing"
    if not fitting:
        return "columns"
    raise ShapeError("column", f"the record could be {listed(fitting)}: set `shape`. It has {keys}")


def conversation(values: Mapping[str, Any], shape: Shape, columns: ColumnMap) -> list[Message]:
    """The messages of a record; the last is the assistant's. Raises ShapeError."""
    tools = next((key for key in ("tools", "functions") if values.get(key)), None)
    if tools is not None and shape != "columns":
        raise ShapeError("messages", f"{tools}: calls of tools are not supported; leave the record out")
    if shape == "alpaca":
        messages = _alpaca(values)
    elif shape == "prompt_completion":
        messages = _prompt_completion(values)
    else:
        name = columns.messages or ("conversations" if shape == "sharegpt" else "messages")
        found, value = value_at(values, name)
        if not found:
            raise ShapeError("column", f"no column {name!r}; columns: {{messages: NAME}} names the conversation")
        messages = _messages(value, name)
        system = _column(values, "system", "") if shape == "sharegpt" else ""
        if system.strip() and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": system})
    problem = next(_problems(messages), None)
    if problem is not None:
        raise ShapeError("messages", problem)
    return messages


def _messages(value: Any, name: str) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise ShapeError("messages", f'{name}: must be a list of {{"role": ..., "content": ...}}')
    return [_message(item, f"{name}: message {i}") for i, item in enumerate(value, start=1)]


def _message(item: Any, place: str) -> Message:
    if not isinstance(item, Mapping):
        raise ShapeError("messages", f"{place} must have a role and a content that is text")
    role = item["from"] if item.get("role") is None and "from" in item else item.get("role")
    extra = next((key for key in _UNSUPPORTED if item.get(key)), None)
    if extra is not None or role in _UNSUPPORTED:
        raise ShapeError("messages", f"{place}: {extra or role} has no meaning here: calls of tools are not supported")
    content = _text(item["value"] if item.get("content") is None and "value" in item else item.get("content"), place)
    known = _ROLES.get(role) if isinstance(role, str) else None
    if known is None:
        raise ShapeError("messages", f"{place} has the role {role!r}; known: system, user, assistant")
    message: Message = {"role": known, "content": content}
    if not _is_trained(item, place):
        message["train"] = False
    return message


def _is_trained(item: Mapping[str, Any], place: str) -> bool:
    """`train` (true, false) or `weight` (0, 1) of a message. Null says nothing."""
    train, weight = item.get("train"), item.get("weight")
    if train not in (None, True, False) or weight not in (None, 0, 1):
        key, value, known = (
            ("weight", weight, "0 and 1") if train in (None, True, False) else ("train", train, "true and false")
        )
        raise ShapeError("messages", f"{place} has the {key} {value!r}; known: {known}")
    return train is not False and weight != 0


def _text(content: Any, place: str) -> str:
    """Text, or parts of which all are text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        kinds = [part.get("type") if isinstance(part, Mapping) else None for part in content]
        other = next((kind for kind in kinds if kind != "text"), None)
        if not other and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content):
            return "".join(part["text"] for part in content)
        raise ShapeError("messages", f"{place} has a part of type {other!r}: only text can be trained")
    raise ShapeError("messages", f"{place} must have a role and a content that is text")


def _alpaca(values: Mapping[str, Any]) -> list[Message]:
    instruction, given = _column(values, "instruction"), _column(values, "input", "")
    messages: list[Message] = []
    system = _column(values, "system", "")
    if system.strip():
        messages.append({"role": "system", "content": system})
    history = values.get("history") or []
    if not isinstance(history, list):
        raise ShapeError("messages", "history: must be a list of [question, answer]")
    for i, turn in enumerate(history, start=1):
        if not (isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(text, str) for text in turn)):
            raise ShapeError("messages", f"history: turn {i} must be [question, answer]")
        messages += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
    asked = "\n\n".join(text for text in (instruction, given) if text.strip())
    if not asked:
        raise ShapeError("column", "nothing is asked: instruction and input are empty")
    return [*messages, {"role": "user", "content": asked}, {"role": "assistant", "content": _column(values, "output")}]


def _prompt_completion(values: Mapping[str, Any]) -> list[Message]:
    prompt, completion = values.get("prompt"), values.get("completion")
    asked: list[Message] = (
        _messages(prompt, "prompt")
        if isinstance(prompt, list)
        else [{"role": "user", "content": _column(values, "prompt")}]
    )
    answer: list[Message] = (
        _messages(completion, "completion")
        if isinstance(completion, list)
        else [{"role": "assistant", "content": _column(values, "completion")}]
    )
    return [*asked, *answer]


def _column(values: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = values.get(name, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        what = "is null" if value is None else f"is no text but {type(value).__name__}"
        raise ShapeError("column", f"column {name!r} {what}; give a text, or set `shape` and `columns`")
    return value


def _problems(messages: list[Message]) -> Iterator[str]:
    if messages[-1]["role"] != "assistant":
        yield f"messages: the last message must be the assistant's, and this is the {messages[-1]['role']}'s"
    if messages[0]["role"] == "assistant":
        yield "messages: the first message is the assistant's; there must be a question before it"
    if not any(message["role"] == "user" for message in messages):
        yield "messages: there is no message of the user"
    if any(message["role"] == "system" for message in messages[1:]):
        yield "messages: a system message can only be the first"
