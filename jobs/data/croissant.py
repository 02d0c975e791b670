"""`croissant.json`: the artifact described for tools that read data sets (Croissant 1.0, MLCommons).

https://docs.mlcommons.org/croissant/docs/croissant-spec.html. No times and no places: equal inputs give equal bytes.
"""

import hashlib
from pathlib import Path
from typing import Any

from sftjobs.canonical import readable
from sftjobs.plan.configs import DataConfig, DataCounts

_CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""As the specification, appendix 1, recommends it."""
_SETS = {"train": "Training examples", "held_out": "Held-out examples, never trained on", "dev": "Dev examples"}
_FIELDS = {
    "id": ("sc:Text", "Digest of task and messages"),
    "task": ("sc:Text", "Task of the run"),
    "messages": ("sc:Text", "The conversation; the assistant's answer is the last message"),
    "tokens": ("sc:Integer", "Tokens of the rendered conversation"),
    "label": ("sc:Text", "The answer, if it is a label of the prompt"),
    "difficulty": ("sc:Text", "Difficulty, as the record says it"),
}
_LEDGER = {
    "id": ("sc:Text", "Digest of task and messages; null for a record that could not be read"),
    "task": ("sc:Text", "Task of the run"),
    "line": ("sc:Integer", "Where the record begins in its source, from 1"),
    "split": ("sc:Text", "train, held_out or dev"),
    "decision": ("sc:Text", "kept or dropped"),
    "rule": ("sc:Text", "The rule that dropped the record"),
    "reason": ("sc:Text", "Why it was dropped, or else why it was marked"),
}
_ONLY_SOME = {"label", "difficulty"}
"""Fields that an example may lack."""


def croissant(name: str, folder: Path, config: DataConfig, counts: DataCounts) -> bytes:
    """The description of the files that are in `folder`; written after them.

    `name` must follow from the config: runs of different names share an artifact.
    """
    sets = {one: folder / f"{one}.jsonl" for one in _SETS if (folder / f"{one}.jsonl").is_file()}
    files = [*sets.values(), folder / "ledger.parquet"]
    records = [_record_set(one, path, _SETS[one], _fields(config)) for one, path in sets.items()]
    told = "One row per record that was read, with what became of it"
    ledger = _record_set("ledger", folder / "ledger.parquet", told, _LEDGER)
    return readable(
        {
            "@context": _CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": _CONFORMS_TO,
            "name": name,
            "description": _description(config, counts),
            "distribution": [_file(path) for path in files],
            "recordSet": [*records, ledger],
        }
    )


def _description(config: DataConfig, counts: DataCounts) -> str:
    train = sum(task.examples for task in counts.tasks.values())
    dropped = sum(counts.dropped.values())
    tasks = ", ".join(counts.tasks)
    return (
        f"Examples for supervised fine-tuning, made by sftjobs: {train:,} training and {counts.held_out:,} held-out "
        f"examples of {counts.records:,} records; {dropped:,} were dropped, each with its rule in ledger.parquet. "
        f"Tasks: {tasks}. Form of the answers: {config.prompt.output.format}."
    )


def _fields(config: DataConfig) -> dict[str, tuple[str, str]]:
    """Fields of an example; those that no example has are left out."""
    has = {"label": config.prompt.output.format == "label", "difficulty": _has_difficulty(config)}
    return {name: field for name, field in _FIELDS.items() if name not in _ONLY_SOME or has[name]}


def _has_difficulty(config: DataConfig) -> bool:
    return any(source.columns.difficulty is not None for source in config.sources)


def _file(path: Path) -> dict[str, str]:
    form = "application/x-parquet" if path.suffix == ".parquet" else "application/jsonlines"
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": form,
        "sha256": sha256,
    }


def _record_set(name: str, path: Path, description: str, fields: dict[str, tuple[str, str]]) -> dict[str, Any]:
    found = []
    for field, (kind, text) in fields.items():
        one: dict[str, Any] = {**_named(f"{name}/{field}"), "description": text}
        source = {"fileObject": {"@id": path.name}, "extract": {"column": field}}
        if field == "messages":
            parts = [_message_part(f"{name}/{field}/{part}", part, source) for part in ("role", "content")]
            found.append({**one, "repeated": True, "subField": parts})
        else:
            found.append({**one, "dataType": kind, "source": source})
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": description, "field": found}


def _message_part(id_: str, part: str, source: dict[str, Any]) -> dict[str, Any]:
    return {**_named(id_), "dataType": "sc:Text", "source": {**source, "transform": {"jsonPath": part}}}


def _named(id_: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": id_, "name": id_}
