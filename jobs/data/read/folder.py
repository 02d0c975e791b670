"""Folders of a data set: which of their files hold the wanted split."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from jobs.data.problems import DataProblem, Report
from jobs.data.read.records import SourceFile
from sftjobs.spec.formats import format_of
from sftjobs.spec.words import listed

_SYNONYMS = {"valid": "validation", "dev": "validation"}
_SPLITS = {"train", "validation", "test", *_SYNONYMS}
_WORD = re.compile(r"[^-_.]+")
_NO_DATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")


def folder_files(folder: SourceFile, report: Report) -> list[SourceFile]:
    """The files of the wanted split, in the order of their names; each is called by its place in the folder."""
    try:
        if (folder.path / "dataset_dict.json").is_file() or (folder.path / "state.json").is_file():
            return _saved(folder, report)
        return _hub_style(folder, report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        report(DataProblem("file", folder.name, None, None, f"not a folder of a data set: {error!r}"))
        return []


def _saved(folder: SourceFile, report: Report) -> list[SourceFile]:
    """What `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote."""
    splits = folder.path / "dataset_dict.json"
    if splits.is_file():
        chosen = _choose(folder, json.loads(splits.read_text("utf-8"))["splits"], report)
        if chosen is None:
            return []
        return _saved(replace(folder, path=folder.path / chosen, name=f"{folder.name}/{chosen}"), report)
    state = json.loads((folder.path / "state.json").read_text("utf-8"))
    names = [Path(entry["filename"]).name for entry in state["_data_files"]]
    return [SourceFile(folder.path / name, f"{folder.name}/{name}", "arrow") for name in names]


def _hub_style(folder: SourceFile, report: Report) -> list[SourceFile]:
    """Files whose names or folders say their split, as data sets on the hub have them."""
    parts: dict[str, dict[str, list[PurePosixPath]]] = {}
    for path in _data_files(folder.path):
        part, split = _said(path)
        parts.setdefault(part if split else "", {}).setdefault(split, []).append(path)
    named = {part: splits for part, splits in parts.items() if set(splits) != {""}}
    found = {
        (f"{part}/{split}" if part and len(named) > 1 else split): paths
        for part, splits in named.items()
        for split, paths in splits.items()
        if split
    }
    if not parts:
        message = "the folder has no file of a format that can be read"
        report(DataProblem("file", folder.name, None, None, message))
        return []
    if found or folder.split is not None:
        chosen = _choose(folder, list(found), report)
        paths = [] if chosen is None else found[chosen]
    else:
        paths = parts[""][""]  # no file names a split: all are the one that there is
    formats = sorted({format_of(path.name) for path in paths})
    if len(formats) > 1:
        message = f"the same records as {listed(formats, 'and')}? {listed([str(path) for path in paths[:6]], 'and')}"
        report(DataProblem("file", folder.name, None, None, f"{message}: name the file that is wanted as `path`"))
        return []
    return [SourceFile(folder.path / path, f"{folder.name}/{path}", "auto", folder.encoding) for path in paths]


def _data_files(folder: Path) -> Iterator[PurePosixPath]:
    for path in sorted(folder.rglob("*")):
        relative = PurePosixPath(path.relative_to(folder).as_posix())
        hidden = any(part.startswith(".") for part in relative.parts)
        if format_of(path.name) != "auto" and not hidden and path.name not in _NO_DATA and path.is_file():
            yield relative


def _said(path: PurePosixPath) -> tuple[str, str]:
    """What names say of a file: the part of the data set (a language, a subset; empty for the whole), and the split.

    As `datasets` does it, only folders name parts: train_1.jsonl and train_2.jsonl are one split.
    """
    part, split = [], ""
    for place in path.parts:
        said = [word for word in _WORD.findall(place.lower()) if word in _SPLITS]
        split = _SYNONYMS.get(said[-1], said[-1]) if said else split
        if not said and place.lower() != "data" and place != path.name:
            part.append(place)
    return "/".join(part), split


def _choose(folder: SourceFile, splits: list[str], report: Report) -> str | None:
    """The split that the spec names, or `train`."""
    wanted = folder.split or "train"
    wanted = wanted if wanted in splits else _SYNONYMS.get(wanted, wanted)
    if wanted in splits:
        return wanted
    if len(splits) == 1 and folder.split is None:
        return splits[0]
    known = f"it has {listed(sorted(splits), 'and')}" if splits else "its files name none"
    message = f"the data set has no split {wanted!r}; {known}: set `split`"
    report(DataProblem("file", folder.name, None, None, message))
    return None
