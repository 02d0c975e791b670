"""P09: the form of the answer said twice and differently, or in words only, so that no program can check it."""

import re
from collections.abc import Iterator
from typing import Any

from sftjobs.lint.finding import Finding, Part
from sftjobs.lint.text import PLACEHOLDER, demands, masked, negated
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.words import listed

_FORMS = r"(JSON|XML|YAML|CSV|Markdown|HTML)"
_DEMAND = re.compile(
    rf"(?i)\b(?:answer|reply|respond|return|output|write|give|produce|format)\b[^.\n]{{0,50}}?\b{_FORMS}\b"
    rf"|(?:回答|回复|答复|输出|返回|写成|生成|给出|采用|使用|以|用|按)[^。，\n]{{0,20}}?{_FORMS}"
)
_MANY = re.compile(
    r"(?i)\b(?:one or more|one or several|all (?:that|which) apply|multiple labels|several labels|every label that)\b"
    r"|一个或多个|多个标签|一个或几个|所有适用|多选"
)
_YES_NO = re.compile(
    r"(?i)\b(?:answer|reply|respond|output|return)\b[^.\n]{0,20}?[\"'“]?\b(?:yes or no|true or false)\b"
    r"|(?:只|仅)?(?:回答|输出|答|返回)[“\"「]?(?:是|对|真|正确)[”\"」]?(?:或者?|/|、)[“\"「]?(?:否|不是|错|假|错误)"
)
_KEY = re.compile(r"[\"“]([^\"”\n]{1,60})[\"”]\s*[:：]")
_SKELETON = re.compile(r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}")


def forms(prompt: PromptSpec) -> Iterator[Finding]:
    """P09: everything about the form of the answer."""
    yield from _named(prompt)
    wanted = prompt.output.format
    for part in demands(prompt):
        for pattern in (_MANY, _YES_NO):
            match = pattern.search(part.text)
            if match is None or negated(part.text, match.start()):
                continue
            if pattern is _MANY and wanted == "label":
                message = "the text allows more than one label, and output format label is exactly one"
                fix = "ask for one label, or use output format json with a list"
                yield part.finding("P09", "warning", message, fix, match.span())
            if pattern is _YES_NO and wanted == "free":
                message = "the answers are known, but output format free lets nothing check them"
                fix = "use `output: {format: label}` with these as `labels`"
                yield part.finding("P09", "hint", message, fix, match.span())
    if wanted == "json" and prompt.output.json_schema is None:
        message = "any JSON value is right: without a schema nothing checks keys and types"
        yield Part(("output",), "").finding("P09", "hint", message, "add `output.json_schema`")
    if wanted == "json" and prompt.output.json_schema is not None:
        yield from _keys(prompt, prompt.output.json_schema)


def _named(prompt: PromptSpec) -> Iterator[Finding]:
    """Data formats that the text demands: more than one, or another than `output.format`."""
    seen: dict[str, str] = {}
    for part in demands(prompt):
        for match in _DEMAND.finditer(part.text):
            name = next(group for group in match.groups() if group)
            if negated(part.text, match.end()) or name.upper() in seen:
                continue
            others = list(seen.values())
            seen[name.upper()] = name
            if others:
                message = f"the text asks for {name}, and before for {listed(others, 'and')}"
                yield part.finding("P09", "warning", message, "keep one of them", match.span())
            elif name.upper() == "JSON" and prompt.output.format != "json":
                message = f"the text asks for JSON, and output format is {prompt.output.format}"
                fix = "set `output: {format: json}`, so that answers are checked"
                yield part.finding("P09", "warning", message, fix, match.span())
            elif name.upper() != "JSON" and prompt.output.format in ("json", "label"):
                message = f"the text asks for {name}, and output format is {prompt.output.format}"
                yield part.finding("P09", "warning", message, "say the same in both places", match.span())


def _keys(prompt: PromptSpec, schema: dict[str, Any]) -> Iterator[Finding]:
    """Keys of a JSON pattern in the text against those of the schema."""
    known = set(_properties(schema))
    if not known:
        return
    for part in demands(prompt):
        for pattern in _SKELETON.finditer(masked(part.text, PLACEHOLDER)):
            shown = {match.group(1): match for match in _KEY.finditer(pattern.group())}
            if not shown or not known & set(shown):
                continue  # another object, e.g. an example of the input
            at = pattern.start()
            for name in [key for key in shown if key not in known]:
                match = shown[name]
                message = f"the key {name!r} of the pattern is not in output.json_schema"
                fix = f"use the same keys in both; the schema has {listed(sorted(known), 'and')}"
                yield part.finding("P09", "warning", message, fix, (at + match.start(1), at + match.end(1)))
            required = schema.get("required")
            absent = [key for key in required if key not in shown] if isinstance(required, list) else []
            if absent:
                message = f"the pattern lacks {listed(map(repr, absent), 'and')}, which output.json_schema requires"
                yield part.finding("P09", "warning", message, "show every required key", pattern.span())


def _properties(schema: Any) -> Iterator[str]:
    """Names of properties at any depth."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties" and isinstance(value, dict):
                yield from value
            yield from _properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _properties(value)
