"""values.yaml of the chart, made from the model of cluster.yaml: every field with its meaning and default."""

import json
import textwrap
from collections.abc import Iterator

from sftjobs.spec.cluster import ReleaseValues
from sftjobs.spec.fields import Fields
from sftjobs.spec.words import Schema

_WIDTH = 110
_HEAD = """\
# Values of the chart: cluster.yaml and the run. docs/cluster-yaml.md has the same as a page.
# Made from sftjobs/spec/cluster.py by `python -m sftjobs.spec.schema`; do not edit.
"""


def values_yaml() -> str:
    """The whole file. Without a default a field is shown as a comment: Helm would take a null for a value."""
    fields = Fields(ReleaseValues)
    properties = dict((fields.at(()) or {})["properties"])
    run = {"run": {**properties.pop("run"), "default": ""}}  # first, because it is the one that must be given
    blocks = (_Writer(fields).field(name, field, "") for name, field in {**run, **properties}.items())
    return _HEAD + "".join("\n" + "\n".join(block) + "\n" for block in blocks)


class _Writer:
    """Lines of values.yaml; a model that stands in several places is explained at the first one only."""

    def __init__(self, fields: Fields) -> None:
        self._definitions = fields.definitions
        self._explained: set[str] = set()

    def field(self, name: str, field: Schema, indent: str, explain: bool = True) -> Iterator[str]:
        model = _model(field)
        default = field.get("default")
        if explain:
            meaning = field.get("description") or self._definitions[model or ""]["description"]
            prefix = f"{indent}# "
            yield from textwrap.wrap(meaning, _WIDTH, initial_indent=prefix, subsequent_indent=prefix)
        unset = indent if "#" in indent else f"{indent}# "
        if model and default is not None:
            # A mapping without any key would be null.
            yield f"{indent}{name}:" if self._has_defaults(model) else f"{indent}{name}: {{}}"
            yield from self._inside(model, f"{indent}  ")
        elif model:
            yield f"{unset}{name}:"
            yield from self._inside(model, f"{unset}  ")
        elif default is None:
            yield f"{unset}{name}:"
        else:
            yield f"{indent}{name}: {json.dumps(default, ensure_ascii=False)}"

    def _inside(self, model: str, indent: str) -> Iterator[str]:
        explain = model not in self._explained
        self._explained.add(model)
        for name, field in self._definitions[model]["properties"].items():
            yield from self.field(name, field, indent, explain)

    def _has_defaults(self, model: str) -> bool:
        return any(field.get("default") is not None for field in self._definitions[model]["properties"].values())


def _model(field: Schema) -> str | None:
    for part in field.get("anyOf", [field]):
        if "$ref" in part:
            return str(part["$ref"].rpartition("/")[2])
    return None
