"""Formats of data files, by the suffix of the name."""

from sftjobs.spec.data import SourceFormat

_SUFFIXES: dict[str, SourceFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_COMPRESSED = (".gz", ".zst")
_TEXT: tuple[SourceFormat, ...] = ("jsonl", "json", "csv", "tsv")

SUFFIXES = tuple(_SUFFIXES)
"""Of files that can be read; text also with .gz or .zst behind it."""


def format_of(path: str) -> SourceFormat:
    """The format that a name promises; `auto` if its suffix is not known (a folder, for example)."""
    name = path.rstrip("/").rpartition("/")[2].lower()
    plain = next((name.removesuffix(suffix) for suffix in _COMPRESSED if name.endswith(suffix)), name)
    found: SourceFormat = next((form for suffix, form in _SUFFIXES.items() if plain.endswith(suffix)), "auto")
    return found if plain == name or found in _TEXT else "auto"
