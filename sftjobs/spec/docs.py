"""docs/run-yaml.md and docs/cluster-yaml.md, made from the models: `python -m sftjobs.spec.docs [--check]`."""

import json
import sys
from dataclasses import dataclass

from pydantic import BaseModel

from sftjobs.spec import generated
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.spec.fields import ANY_NAME, Fields
from sftjobs.spec.lines import Path
from sftjobs.spec.run import RunSpec
from sftjobs.spec.words import Schema, expected


@dataclass(frozen=True)
class Page:
    """One page: what a person reads first, then every field of the model."""

    path: str
    model: type[BaseModel]
    intro: str
    elsewhere: str = ""
    """Field with a page of its own."""


_RUN_INTRO = """\
# run.yaml

One file says what a run does, from data to a tuned model that is compared with its base. `sftjobs init NAME` writes
one to start from, `sftjobs check run.yaml` finds every mistake in it at once.

    name: tickets-v1
    model: hf://org/name@revision
    prompt: prompts/tickets.yaml
    data:
      tasks:
        tickets: {path: data/train.jsonl, epochs: 3}
      held_out: {path: data/held_out.jsonl}
    train: {method: lora, learning_rate: 5e-4}

- Only `name`, `model`, `prompt` and `data` have to be there. Unknown keys are refused.
- Relative paths are relative to the folder of run.yaml.
- Numbers are written as in `2048`, `0.05` or `5e-4`. `yes`, `no`, `on`, `off` and dates are text, not values of
  another type. Anchors, aliases and tags (`&`, `*`, `!`) are not supported.
- A secret is never written here, only the name of the environment variable that holds it: `{env: NAME}`.
- Units are part of a field's name (`_s` seconds, `_gib` GiB) or said in its meaning.
- The prompt file has [a page of its own](prompt-file.md).

Made from `sftjobs/spec/run.py` by `python -m sftjobs.spec.docs`; do not edit.
"""

_CLUSTER_INTRO = """\
# cluster.yaml

One file says what a platform team knows about its cluster: images, identities, queue, placement, proxy. It holds
nothing of a run: one file serves every run, and nothing of it is part of a stage key. The same file goes to Helm and
to the command line:

    helm install tickets-v1 charts/sft-run --set-file run=run.pushed.yaml -f cluster.yaml
    sftjobs run run.yaml --backend kubernetes --cluster cluster.yaml

    images:
      controller: registry.example/sftjobs/controller:0.1.0@sha256:...
      train: registry.example/sftjobs/train:0.1.0@sha256:...
    queue: gpus
    labels: {team: support}
    pods:
      train:
        node_selector: {accelerator: h100}
        tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]

- Nothing has to be there: every field has a default. Unknown keys are refused.
- A secret is never written here, only the name of the key of `secret` that holds it: `{env: NAME}`.
- `null` is the same as leaving a field out; only fields that are unset by default take it.
- What is marked "as in a pod" is passed on as it is; the API server is the judge of it.

Made from `sftjobs/spec/cluster.py` by `python -m sftjobs.spec.docs`; do not edit.
"""

RUN_PAGE = Page("docs/run-yaml.md", RunSpec, _RUN_INTRO, elsewhere="prompt")
CLUSTER_PAGE = Page("docs/cluster-yaml.md", ClusterSpec, _CLUSTER_INTRO)


def text(page: Page) -> str:
    """The whole page."""
    fields = Fields(page.model)
    return page.intro + "".join(_section(titles, schema, fields) for titles, schema in _sections(fields, page))


def files() -> dict[str, str]:
    """Path in the repository -> content."""
    return {page.path: text(page) for page in (RUN_PAGE, CLUSTER_PAGE)}


def _sections(fields: Fields, page: Page) -> list[tuple[list[str], Schema]]:
    """Every mapping with fixed keys, outer ones first: the dotted paths at which it may stand, and its schema."""
    top = fields.at(())
    assert top is not None
    sections: list[tuple[list[str], Schema]] = [([], top)]
    for path in fields.paths():
        if page.elsewhere and path.partition(".")[0] == page.elsewhere:
            continue
        for place in (path, f"{path}.{ANY_NAME}", f"{path}[]"):
            target = _target(fields.at(_keys(place)), fields)
            known = next((titles for titles, schema in sections if schema is target), None)
            if known is not None and place not in known:
                known.append(place)
            elif known is None and target is not None and target != fields.definitions["FromEnv"]:
                sections.append(([place], target))
    return sections


def _keys(place: str) -> Path:
    """A dotted path as keys: `a[].b` is `b` in each item of the list `a`."""
    return tuple(0 if part == "[]" else part for part in place.replace("[]", ".[]").split("."))


def _target(schema: Schema | None, fields: Fields) -> Schema | None:
    """The model that a field's value is, if it can be one."""
    for part in [] if schema is None else schema.get("anyOf", [schema]):
        if "$ref" in part:
            found: Schema = fields.definitions[part["$ref"].rpartition("/")[2]]
            return found
    return None


def _section(titles: list[str], schema: Schema, fields: Fields) -> str:
    heading = "\n## Top level\n"
    if titles:
        heading = f"\n## {', '.join(f'`{title}`' for title in titles)}\n\n{_line(schema.get('description', ''))}\n"
    rows = [
        f"| `{name}` | {_cell(_type(field, fields))} | {_default(name, field, schema)} |"
        f" {_cell(_meaning(field, fields))} |\n"
        for name, field in schema["properties"].items()
    ]
    return heading + "\n| key | type | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _type(field: Schema, fields: Fields) -> str:
    words = []
    for part in field.get("anyOf", [field]):
        if "$ref" in part:
            words.append("`{env: NAME}`" if part["$ref"].endswith("/FromEnv") else "mapping, see below")
        elif _target(_each(part), fields) is not None:
            words.append("mapping of names, see below")
        elif part.get("type") != "null":
            words.append(expected(part, fields.definitions))
    return " or ".join(words)


def _each(schema: Schema) -> Schema | None:
    """Schema of the values of a mapping with names that the user chooses."""
    found = schema.get("additionalProperties")
    return found if isinstance(found, dict) else None


def _default(name: str, field: Schema, schema: Schema) -> str:
    if name in schema.get("required", []):
        return "required"
    value = field.get("default")
    if value is None:
        return "unset"
    return (
        "see below"
        if "$ref" in field or (value and isinstance(value, dict))
        else f"`{json.dumps(value)}`".replace('"', "")
    )


def _meaning(field: Schema, fields: Fields) -> str:
    """Pydantic leaves out the text of a field where it is that of the field's model."""
    return str(field.get("description") or (_target(field, fields) or {}).get("description", ""))


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(generated.main(files(), "python -m sftjobs.spec.docs"))
