"""P01 a part is missing, P02 a part stands in the wrong place."""

import re
from collections.abc import Iterator

from sftjobs.lint.finding import Finding, Part
from sftjobs.lint.text import HAN, PLACEHOLDER, demands, is_chinese, masked, said, size, unquoted
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.template import LABELS, placeholders

_ROLE = re.compile(
    r"(?:^|(?<=[.!?。！？\n])) *(?:you are (?:a|an|the|our)\b|act as\b|"
    r"(?:你|您)(?:现在)?是(?!否|不是|谁|怎|什么)|请?(?:你)?扮演)",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"(?i)\b(?:answer|repl(?:y|ies)|respond|return|output|write|classify|decide|choose|pick|extract|give|read|sort|"
    r"translate|summari[sz]e|rewrite|label|find|list|tell|explain|determine|identify)\b|\?|"
    r"回答|答复|回复|输出|返回|写|判断|选择|选出|分类|提取|抽取|归类|翻译|总结|概括|改写|找出|列出|给出|生成|请|？"
)
_FORM = {
    "label": re.compile(
        r"(?i)\blabel|\bcategor|\bclass(?:es)?\b|\bone of\b|\bexactly one\b|\b(?:only|just) with\b|\bonly the\b|"
        r"标签|类别|分类|之一|其中一|选项|只(?:回答|输出|答|写|选)|仅(?:回答|输出)"
    ),
    "json": re.compile(r"(?i)json"),
    "regex": re.compile(
        r"(?i)\bform(?:at)?\b|\be\.g\.|\bfor example\b|\bsuch as\b|\blike\b|格式|形如|例如|比如|形式|如下"
    ),
}
_TRAILING = 8  # Chinese characters or words: a cue such as "The label is:" is shorter, a demand is not


def missing(prompt: PromptSpec) -> Iterator[Finding]:
    """P01: system, definitions of labels, delimiters of the input, instruction, output format in words."""
    whole = Part((), "")
    if prompt.system is None and prompt.instruction is not None:
        fix = "add `system:` with one sentence that says who the model is and for whom it works"
        yield whole.finding("P01", "hint", "no system message: nothing says who the model is", fix)
    yield from _missing_labels(prompt)
    text = said(prompt)
    # In a chat (output format free) the question is the instruction.
    if prompt.instruction is None and prompt.output.format != "free" and not _ASKS.search(text):
        fix = "add `instruction:` with what to do with the input and what to answer"
        yield whole.finding("P01", "warning", "no instruction: nothing says what to do with the input", fix)
    names = placeholders(prompt.input)
    bare = not masked(prompt.input, PLACEHOLDER).strip("\0 \t\r\n")
    if bare and len(names) == 1 and (prompt.instruction or prompt.examples):  # several: P04 says it
        example = f'"文本：{{{{ {names[0]} }}}}"' if is_chinese(text) else f'"Text: {{{{ {names[0]} }}}}"'
        message = "nothing marks where the data begins: it can be taken for a part of the instruction"
        fix = f"name it, for example input: {example}"
        yield Part(("input",), prompt.input).finding("P01", "warning", message, fix)
    form = _FORM.get(prompt.output.format)
    if form is not None and not form.search(text):
        shown = " and only the worked examples show it" if prompt.examples else ""
        message = f"the output format {prompt.output.format} is not said in words{shown}"
        yield Part(("output", "format"), "").finding("P01", "hint" if shown else "warning", message, _say(prompt))


def _say(prompt: PromptSpec) -> str:
    chinese = is_chinese(said(prompt))
    words = {
        "label": "只回答下列标签中的一个" if chinese else "Answer with exactly one of these labels and nothing else.",
        "json": "只输出一个 JSON 对象" if chinese else "Answer with one JSON object and nothing else.",
        "regex": "按格式……回答，例如……" if chinese else "Answer in the form ..., for example ...",
    }[prompt.output.format]
    return f"say it in `instruction`, for example: {words}"


def _missing_labels(prompt: PromptSpec) -> Iterator[Finding]:
    if prompt.output.format != "label" or not prompt.labels:
        return
    if any(LABELS in placeholders(text or "") for text in (prompt.system, prompt.instruction)):
        return
    text = said(prompt)
    absent = [label for label in prompt.labels if label not in text]
    if absent:
        message = f"the model is not shown the labels: {absent[0]!r} stands nowhere in system, instruction or input"
        yield Part(("labels",), "").finding("P01", "warning", message, "put {{ labels }} into `instruction`")


def order(prompt: PromptSpec) -> Iterator[Finding]:
    """P02: who the model is comes first (system), then the rules (instruction), and what varies comes last (input)."""
    for part in demands(prompt):
        role = _ROLE.search(unquoted(part.text))
        if role is None:
            continue
        start = role.start() + len(role.group()) - len(role.group().lstrip())
        before = part.text[: role.start()].strip()
        if part.place != ("system",):
            message = f"who the model is stands in {part.place[0]}"
            yield part.finding(
                "P02", "hint", message, "move the sentence to the start of `system`", (start, role.end())
            )
        elif before:
            message = "who the model is comes after other rules"
            yield part.finding("P02", "hint", message, "put the sentence first", (start, role.end()))
    last = list(PLACEHOLDER.finditer(prompt.input))[-1:]
    for match in last:
        behind = prompt.input[match.end() :]
        if size(behind) >= _TRAILING and re.search(rf"[A-Za-z{HAN}]", behind) and _ASKS.search(unquoted(behind)):
            span = (match.end() + len(behind) - len(behind.lstrip()), match.end() + len(behind.rstrip()))
            message = (
                "a demand stands behind the data: it is encoded anew for every example, and long data separates it"
            )
            fix = "move it to `instruction`, which comes before the data and is encoded once"
            yield Part(("input",), prompt.input).finding("P02", "hint", message, fix, span)
