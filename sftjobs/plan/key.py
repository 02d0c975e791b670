"""Stage keys: equal keys mean equal results, so a committed stage is never run again."""

from typing import Any

from sftjobs.canonical import digest
from sftjobs.plan.configs import LIBRARIES, PROGRAM_VERSIONS
from sftjobs.plan.types import SCHEMA, Facts, FinishedInput, Kind


def key_json(
    kind: Kind, program: str, config: dict[str, Any], inputs: dict[str, FinishedInput], facts: Facts
) -> dict[str, Any]:
    """What determines the result of a stage, and nothing else.

    Not in it: names of run and stage, where inputs were found, retries, limits, log settings, memory, batch size of
    generation, time between checkpoints (`StagePlan.operation`, `StagePlan.resources`). CPU threads and world size
    are in the config of the kinds where they can change the last digits.
    """
    return {
        "schema": SCHEMA,
        "kind": kind,
        "program": {
            "module": program,
            "version": PROGRAM_VERSIONS[kind],
            "libraries": {name: facts.versions[name] for name in LIBRARIES[kind]},
            "source": facts.source_digest,
        },
        "config": config,
        "inputs": {name: {"digest": item.digest, "folder": item.folder} for name, item in sorted(inputs.items())},
    }


def stage_key(value: dict[str, Any]) -> str:
    """Hex SHA-256 over the canonical JSON of `key_json`."""
    return digest(value)


def differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted path, old value, new value) of every leaf that differs; a missing side is the string `(absent)`."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for name in sorted(old.keys() | new.keys()):
            below = f"{path}.{name}" if path else name
            found += differences(old.get(name, "(absent)"), new.get(name, "(absent)"), below)
        return found
    return [] if old == new else [(path, old, new)]
