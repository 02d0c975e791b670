"""The texts of records, which the ledger does not hold: from their source, else from the artifact what was kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sftjobs import names
from sftjobs.artifact.digest import hash_file
from sftjobs.cli.why_store import fetch
from sftjobs.plan.committed import Done
from sftjobs.plan.types import External, FileEntry, RunPlan
from sftjobs.store.base import Store

Ask = Callable[[dict[str, Any]], dict[str, Any]]
_MOST = 256 * 2**20
"""Bytes of a source that are brought from the store to show one record."""


def add_texts(answer: dict[str, Any], plan: RunPlan, done: Done, store: Store, folder: Path, ask: Ask) -> None:
    """Add `text` to the record of the answer and to the one it was compared with; null where it is out of reach."""
    for record in (answer, answer["related"]):
        if record is None:
            continue
        record["text"] = _from_source(record, plan, store, folder, ask)
        if record["text"] is None and record["decision"] == "kept":
            record["text"] = _from_artifact(record, done, store, folder)


def _from_artifact(record: dict[str, Any], done: Done, store: Store, folder: Path) -> dict[str, Any] | None:
    """The conversation as the sets have it."""
    path = fetch(done, store, f"{record['split']}.jsonl", folder)
    if path is None:
        return None
    wanted = f'"{record["id"]}"'.encode()
    with path.open("rb") as file:
        for line in file:
            if wanted in line:
                try:
                    value = json.loads(line)
                except ValueError:
                    return None
                if value.get("id") == record["id"]:
                    return {"messages": value["messages"]}
    return None


def _from_source(record: dict[str, Any], plan: RunPlan, store: Store, folder: Path, ask: Ask) -> dict[str, Any] | None:
    """The raw record, if the very source is on this machine or in the store."""
    found = _source(record, plan)
    path = None if found is None else _place(found[0], store, folder)
    if found is None or path is None:
        return None
    config = found[1]
    known: dict[str, Any] = {name: config[name] for name in ("format", "encoding", "split") if name in config}
    source = {**known, "path": str(path), "lines": [record["line"]]}
    values = ask({"records": [source]})["records"][0].get(str(record["line"]))
    return None if values is None else {"record": values}


def _source(record: dict[str, Any], plan: RunPlan) -> tuple[External, dict[str, Any]] | None:
    """The source of a record, and how it is read."""
    node = plan.stage("data")
    config = node.config
    sources = [*config["tasks"].values(), config.get("general"), config.get("held_out")]
    for source in filter(None, [*sources, *config.get("held_out_tasks", {}).values()]):
        given = node.inputs.get(source["input"])
        external = plan.facts.externals.get(given.external) if given is not None and given.external else None
        if external is not None and external.digest == record["source"]:
            return external, source
    return None


def _place(external: External, store: Store, folder: Path) -> Path | None:
    """The source on this machine, if its content is what was read; None if it is elsewhere, or has changed."""
    if len(external.files) != 1:
        return None
    entry = external.files[0]
    here = Path(external.source)
    if here.is_file() and _is(here, entry):
        return here
    key = names.pushed_input(external.digest)
    pushed = next(iter(store.list(key)), None)
    if pushed is None or entry.size > _MOST:
        return None
    target = folder / entry.path
    if not target.exists():
        store.download(key, target)
    return target if _is(target, entry) else None


def _is(path: Path, entry: FileEntry) -> bool:
    return path.stat().st_size == entry.size and hash_file(path)[1] == entry.sha256
