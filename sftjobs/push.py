"""Bring local inputs into the store, and write a run.yaml that names them there: same run, same keys, anywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from sftjobs import names
from sftjobs.canonical import readable
from sftjobs.errors import DataError
from sftjobs.plan.facts import paths
from sftjobs.plan.types import External, Facts, FileEntry
from sftjobs.spec.input_places import places, value_at
from sftjobs.spec.places import STORE_SCHEME, is_local
from sftjobs.spec.run import RunSpec
from sftjobs.store.base import OnBytes, Store


def push_inputs(
    spec: RunSpec, facts: Facts, store: Store, on_bytes: OnBytes | None = None, say: Callable[[str], None] = print
) -> dict[str, str]:
    """Upload every local input that the store does not have; returns input name -> `store:` URI."""
    uris: dict[str, str] = {}
    for name, path in paths(spec).items():
        if not is_local(path):
            continue
        external = facts.externals[name]
        source = Path(external.source)
        say(f"{name}: {external.source}")
        for entry in external.files:
            _push_file(store, entry, source if source.is_file() else source / entry.path, on_bytes)
        uris[name] = _uri(store, external, source)
    return uris


def _push_file(store: Store, entry: FileEntry, file: Path, on_bytes: OnBytes | None) -> None:
    """Content-addressed: an object that is there with the right size was uploaded before."""
    key = names.pushed_input(entry.sha256)
    if any(found.key == key and found.size == entry.size for found in store.list(key)):
        return
    if store.upload(key, file, on_bytes) != entry.sha256:
        store.delete(key)  # under this name it would spoil the input for everybody
        raise DataError(f"{file}: changed while it was pushed; push again when nothing writes to it")


def _uri(store: Store, external: External, source: Path) -> str:
    if source.is_file():
        return f"{STORE_SCHEME}{external.digest}/{source.name}"
    listing = readable([entry.model_dump() for entry in external.files])
    store.create(f"{names.pushed_input(external.digest)}.files.json", listing)
    return f"{STORE_SCHEME}{external.digest}/{source.name}/"


def pushed_spec(spec: RunSpec, uris: dict[str, str], store: Store) -> bytes:
    """run.yaml with the prompt inside, every pushed input by its URI and the store that has them; no defaults."""
    value: dict[str, Any] = spec.model_dump(mode="json", exclude_defaults=True)
    value["name"] = spec.name
    value["store"] = {**value.get("store", {}), "uri": store.uri}  # a relative folder would be another one elsewhere
    found = places(spec)
    for name, uri in uris.items():
        *outer, last = found[name]
        value_at(value, tuple(outer))[last] = uri
    head = "# Written by `sftjobs push`: inputs are in the store, by digest; nothing on this machine is needed.\n"
    return (head + yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)).encode()
