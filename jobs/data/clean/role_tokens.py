"""Rule `role_tokens`: tokens or headings of a chat template inside the text (docs/rules/role-tokens.md)."""

import re
from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.text import View

# Special tokens of the templates of ChatML and Qwen, Llama 2 and 3, Gemma, Mistral, Phi, DeepSeek, GLM and GPT-2,
# from their tokenizers; `<s>`, `</s>` and `<unk>` are words of HTML and text too: only the model's own list has them.
_TOKENS = (
    r"<\|[a-z][a-z0-9_]{1,30}\|>"
    r"|<｜[^｜<>\n]{1,30}｜>"
    r"|</?(?:start_of_turn|end_of_turn)>"
    r"|\[/?INST\]|<</?SYS>>"
    r"|\[(?:gMASK|sMASK|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\]"
)
_TOKEN = re.compile(_TOKENS)
# Headings of the Alpaca template: nobody ends an answer with them but a model that went on with the next record.
_HEADING = re.compile(r"^[ \t]*#{2,3} ?(?:Instruction|Input|Response|指令|输入|回答|回复)[ \t]*[:：]", re.MULTILINE)
_ROLE = re.compile(r"^[ \t]*(?:USER|User|ASSISTANT|Assistant|HUMAN|Human|用户|助手)[ \t]*[:：]", re.MULTILINE)
_DIALOGUE = re.compile(
    r"dialog|conversation|chat|script|interview|role.?play|transcript|对话|聊天|剧本|采访|访谈|会话|角色", re.IGNORECASE
)
_FIRST = re.compile(r"[<#\[:：]")


@dataclass(frozen=True, slots=True)
class RoleTokensSettings:
    """What counts besides the built-in list."""

    special_tokens: tuple[str, ...] = ()
    """The tokenizer's own special tokens. Those of one character are left out."""


class RoleTokensRule:
    """Looks for tokens in all texts, for headings and `User:` lines in the answers only.

    A line `User:` does not count if the question has such lines too, or asks for a dialogue.
    """

    name: ClassVar[str] = "role_tokens"

    def __init__(self, settings: RoleTokensSettings = RoleTokensSettings()) -> None:
        own = {token for token in settings.special_tokens if len(token.strip()) > 1 and not _TOKEN.fullmatch(token)}
        # Words such as a bare `unk` would be found inside other words; special tokens have signs around them.
        own = {token for token in own if not token.isalnum()}
        listed = sorted(own, key=lambda token: (-len(token), token))
        self._token = re.compile("|".join([_TOKENS, *map(re.escape, listed)]))
        self._plain = all(_FIRST.match(token) for token in listed)

    def check(self, view: View) -> str | None:
        """The reason, or None."""
        for where, texts in (("answer", view.answers), ("question", view.inputs)):
            for text in texts:
                found = self._token.search(text) if not self._plain or _FIRST.search(text) else None
                if found:
                    return f"{found.group()!r} at character {found.start() + 1:,} of the {where}"
        for answer in view.answers:
            if _FIRST.search(answer):
                found = _HEADING.search(answer) or self._role_line(answer, view)
                if found:
                    return f"the line {found.group().strip()!r} at character {found.start() + 1:,} of the answer"
        return None

    @staticmethod
    def _role_line(answer: str, view: View) -> re.Match[str] | None:
        found = _ROLE.search(answer)
        if found is None or _ROLE.search(view.question) or _DIALOGUE.search(view.question):
            return None
        return found
