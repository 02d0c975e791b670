"""JSON Schemas of run.yaml and of the prompt file, for editors: `python -m sftjobs.spec.schema [--check]`.

`sftjobs init` puts them beside a new run, because a relative path is the only one that works on every machine
and without a network.
"""

import json
import sys
from typing import Any

from pydantic import BaseModel

from sftjobs.spec import generated
from sftjobs.spec.fields import json_schema
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import RunSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def run_schema() -> str:
    """The JSON Schema of run.yaml."""
    return _text(RunSpec, "run.yaml of sftjobs")


def prompt_schema() -> str:
    """The JSON Schema of a prompt file."""
    return _text(PromptSpec, "prompt file of sftjobs")


def files() -> dict[str, str]:
    """Path in the repository -> content."""
    return {"schemas/run.schema.json": run_schema(), "schemas/prompt.schema.json": prompt_schema()}


def _text(model: type[BaseModel], title: str) -> str:
    schema = {"$schema": DIALECT, **_clean(json_schema(model)), "title": title}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _clean(value: Any, names: bool = False) -> Any:
    """Without the titles that pydantic makes of field names, and with descriptions on one line.

    `names`: the keys of `value` are field names, which may be `title` or `description` themselves.
    """
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if not isinstance(value, dict):
        return value
    cleaned = {}
    for key, inner in value.items():
        if not names and key == "title":
            continue
        if not names and key == "description":
            cleaned[key] = " ".join(inner.split())
        else:
            cleaned[key] = _clean(inner, names=key in ("properties", "$defs") and not names)
    return cleaned


if __name__ == "__main__":
    sys.exit(generated.main(files(), "python -m sftjobs.spec.schema"))
