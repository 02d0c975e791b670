"""Rule `boilerplate`: the answer refuses, or talks about being a model (docs/rules/boilerplate.md)."""

import re
from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.text import View

# Phrases that begin a sentence. None is as broad as "I cannot": a good answer says that too (methods.md 4.8, 3.5).
_EN = (
    r"as an (?:ai|artificial intelligence)(?: (?:language )?(?:model|assistant))?\b",
    r"as a (?:large )?language model\b",
    r"i(?:'m| am) (?:just |only )?an? (?:ai|artificial intelligence|(?:large )?language model)\b",
    r"i(?:'m| am) (?:chatgpt|gpt-?[34]|claude|bard|gemini)\b",
    r"i was (?:created|developed|trained) by (?:openai|anthropic|google|meta)\b",
    r"(?:as of )?my (?:last |latest )?(?:knowledge cut-?off|training data|knowledge update)\b",
    r"i (?:do not|don't) have (?:any )?personal (?:opinions|feelings|experiences|beliefs|emotions)\b",
    r"(?:i(?:'m| am) (?:very |so )?sorry|sorry|i apologi[sz]e),? (?:but )?(?:as an ai|i (?:cannot|can't|can not|"
    r"am not able to|am unable to|'m unable to) (?:assist|help you with that|fulfil|comply|provide|generate|create|"
    r"answer that|do that))",
    r"i (?:cannot|can't|can not) (?:assist with|fulfil|comply with) (?:that|this|your|the) request\b",
)
_ZH = (
    r"作为(?:一[个名款])?(?:由\w{1,12}(?:开发|训练)的)?(?:人工智能|AI|大型?语言模型|语言模型|智能助手)",
    r"我(?:只是|是)(?:一[个名款])?(?:由\w{1,12}(?:开发|训练)的)?(?:人工智能|AI|大型?语言模型|语言模型)",
    r"我是(?:ChatGPT|GPT|文心一言|通义千问|讯飞星火|豆包|智谱清言)",
    r"我(?:的知识|的训练数据)(?:库)?(?:只?截止|截至|只?更新)(?:到|至|于)?",
    r"我没有(?:自己的|个人的?)?(?:个人)?(?:情感|感情|观点|意见|经历|主观)",
    r"(?:非常|很|十分)?(?:抱歉|对不起|不好意思)[,，。!！ ]?(?:但是?|不过)?我(?:无法|不能|没办法)"
    r"(?:回答|提供|协助|满足|完成|生成|执行|理解)(?:您|你|这个|该|此|任何|相关|这样|这类|的|请求|问题)",
)


@dataclass(frozen=True, slots=True)
class BoilerplateSettings:
    """Which phrases count."""

    phrases: tuple[str, ...] = ()
    """More phrases, as plain text; they count at the start of a sentence, in any case of letters."""
    built_in: bool = True
    """Whether the built-in lists for English and Chinese count."""


class BoilerplateRule:
    """Looks for the phrases at the start of the answers' sentences. Free answers only.

    In JSON or a label such a phrase would be the answer's content.
    """

    name: ClassVar[str] = "boilerplate"

    def __init__(self, settings: BoilerplateSettings = BoilerplateSettings()) -> None:
        phrases = [*(_EN + _ZH if settings.built_in else ()), *map(re.escape, settings.phrases)]
        start = r"(?:^|[.!?。！？\n;；,，:：])[\s\"'“”‘’*（(]*"
        self._pattern = re.compile(f"{start}({'|'.join(phrases)})", re.IGNORECASE) if phrases else None

    def check(self, view: View) -> str | None:
        """The reason, or None."""
        if view.format != "free" or self._pattern is None:
            return None
        for answer in view.answers:
            # U+2019 is how most models write the apostrophe of "can't".
            found = self._pattern.search(answer.replace("’", "'"))
            if found:
                return f"{found.group(1)!r} at character {found.start(1) + 1:,} of the answer"
        return None
