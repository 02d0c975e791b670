"""Chat templates as functions: Jinja in a sandbox, with the names that templates expect (transformers documents them).

A template is compiled once. `apply_chat_template` of transformers gives the same text and takes about twice the time,
because it copies and checks its arguments anew for every conversation.
"""

import json
from collections.abc import Callable
from typing import Any, NoReturn

import jinja2
from jinja2 import ext, nodes, parser, sandbox, utils


class _Generation(ext.Extension):
    """`{% generation %} ... {% endgeneration %}` marks what is trained; here it is decided without the marks."""

    tags = {"generation"}

    def parse(self, parser: parser.Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Namespace(utils.Namespace):
    """A namespace that keeps no names with an underscore in front: they reach into Python."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        for name in dict(*args[1:], **kwargs):
            _refuse_private(name)
        utils.Namespace.__init__(*args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.TemplateError(f"a chat template may not store {name!r}: names with an underscore are Python's own")


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _tojson(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, **more: Any) -> str:
    """Without the HTML escapes of Jinja's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, **more)


def compile_template(source: str, date: str) -> Callable[..., str]:
    """A function from variables (by keyword) to text; `date` is what `strftime_now` says on every day.

    Raises jinja2.TemplateError if the source is no template; so does the function if the template refuses.
    """
    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals |= {
        "raise_exception": _raise,
        "strftime_now": lambda format: date,
        "namespace": _Namespace,
    }
    return environment.from_string(source).render
