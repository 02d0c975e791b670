"""The fields that the models know: what is allowed at a path, and where a misplaced key belongs."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel

from sftjobs.spec.lines import Path
from sftjobs.spec.words import Schema

ANY_NAME = "<name>"
"""Stands for a key that the user chooses, such as the name of a task."""


@cache
def json_schema(model: type[BaseModel]) -> Schema:
    """The JSON Schema of a model; made once, and only when there is something to say."""
    return model.model_json_schema()


class Fields:
    """What one model and the models inside it accept."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._schema = json_schema(model)
        self.definitions: Schema = self._schema.get("$defs", {})

    def at(self, path: Path) -> Schema | None:
        """Schema of the value at `path`; None if no such field is known."""
        schema: Schema | None = self._schema
        for part in path:
            schema = self._below(schema, part) if schema is not None else None
        return schema

    def names(self, path: Path) -> list[str]:
        """Keys that may stand in the mapping at `path`."""
        schema = self.at(path)
        return [] if schema is None else list(self._mapping(schema).get("properties", {}))

    def is_model(self, path: Path, name: str) -> bool:
        """True if the value at `path` is the model called `name`."""
        schema = self.at(path)
        parts = [] if schema is None else schema.get("anyOf", [schema])
        return any(part.get("$ref", "").endswith(f"/{name}") for part in parts)

    def homes(self, key: str) -> list[str]:
        """Dotted paths of all fields called `key`."""
        return sorted({path for path in self.paths() if path.rpartition(".")[2] == key})

    def paths(self) -> list[str]:
        """Dotted paths of all fields, with `<name>` for names that the user chooses and `[]` for list items."""
        return list(self._walk(self._schema, ""))

    def _walk(self, schema: Schema, prefix: str) -> Iterator[str]:
        mapping = self._mapping(schema)
        for name, child in mapping.get("properties", {}).items():
            path = f"{prefix}.{name}" if prefix else name
            yield path
            yield from self._walk(child, path)
        if isinstance(mapping.get("additionalProperties"), dict):
            yield from self._walk(mapping["additionalProperties"], f"{prefix}.{ANY_NAME}")
        if isinstance(mapping.get("items"), dict):
            yield from self._walk(mapping["items"], f"{prefix}[]")

    def _below(self, schema: Schema, part: str | int) -> Schema | None:
        mapping = self._mapping(schema)
        found: Any
        if isinstance(part, int):
            found = mapping.get("items")
        else:
            any_name = next(iter(mapping.get("patternProperties", {}).values()), mapping.get("additionalProperties"))
            found = mapping.get("properties", {}).get(part, any_name)
        return found if isinstance(found, dict) else None

    def _mapping(self, schema: Schema) -> Schema:
        """The alternative of `schema` that has something below it."""
        for part in schema.get("anyOf", [schema]):
            if "$ref" in part:
                target: Schema = self.definitions[part["$ref"].rpartition("/")[2]]
                return target
            if part.get("type") in ("object", "array"):
                found: Schema = part
                return found
        return {}
