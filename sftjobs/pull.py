"""Results of a run, downloaded and verified."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sftjobs import names
from sftjobs.artifact.transfer import download_tree, kept_and_other
from sftjobs.errors import DataError
from sftjobs.plan.committed import Done
from sftjobs.plan.types import FileEntry
from sftjobs.spec.words import listed
from sftjobs.store.base import OnBytes, Store


@dataclass(frozen=True)
class Result:
    """Where a result lies: files of a stage's artifact, below `folder` or with exactly that path."""

    stage: str
    path: str


RESULTS: dict[str, Result] = {
    "model": Result("train", "model/"),
    "adapter": Result("train", "adapter/"),
    "ledger": Result("data", "ledger.parquet"),
    "review": Result("data", "review.csv"),
    "bad-cases": Result("compare", "bad_cases.jsonl"),
    "predictions": Result("eval-tuned", "predictions.jsonl"),
}
"""What `sftjobs pull` knows by name."""
_NAMED = 3
"""Files that a message names at most."""


def result_of(what: str, stage: str | None = None) -> Result:
    """Where a result lies; with `stage` that of another training or evaluation than the tuned model's."""
    known = RESULTS[what]
    return known if stage is None else Result(stage, known.path)


def pull(
    found: Mapping[str, Done],
    store: Store,
    what: str,
    target: Path,
    on_bytes: OnBytes | None = None,
    stage: str | None = None,
) -> list[FileEntry]:
    """Download one result into the folder `target`; files that are there and right are kept, others never replaced.

    `found`: the stages of the run that are done. `stage`: another training or evaluation than the tuned model's.

    Raises DataError if the stage is not done or has no such result, or if `target` has other files of these names;
    DamagedError if a file is not what was committed.
    """
    result = result_of(what, stage)
    done = found.get(result.stage)
    if done is None:
        known = ", ".join(sorted(found)) or "none"
        raise DataError(
            f"{what}: stage {result.stage} is not done; `sftjobs status` shows where the run is. Done are: {known}"
        )
    if what == "adapter" and _goes_on(done, found):
        raise DataError(
            f"adapter: that of stage {result.stage} belongs to the model of an earlier training of this run, not to "
            "the base model, with which it would answer wrongly. `sftjobs pull RUN model FOLDER` gets the model that "
            "holds both"
        )
    entries = select(done.manifest.content, result.path)
    if not entries:
        raise DataError(f"{what}: the run has none{_why_not(what, done.manifest.content)}")
    prefix = f"{names.incarnation_prefix(done.ref.kind, done.ref.key, done.ref.incarnation)}{names.CONTENT}/"
    if result.path.endswith("/"):
        prefix += result.path
        entries = [entry.model_copy(update={"path": entry.path.removeprefix(result.path)}) for entry in entries]
    kept, other = kept_and_other(entries, target)
    if other:
        raise DataError(_not_replaced(target, other))
    if on_bytes is not None:
        on_bytes(sum(entry.size for entry in kept))
    target.mkdir(parents=True, exist_ok=True)
    there = {entry.path for entry in kept}
    download_tree(store, prefix, [entry for entry in entries if entry.path not in there], target, on_bytes)
    return entries


def _not_replaced(target: Path, other: list[FileEntry]) -> str:
    """A file has its name only when it is whole, so one with another content is of another result, or was edited."""
    many = len(other) - _NAMED
    paths = [entry.path for entry in other[:_NAMED]] + ([f"{many} more"] if many > 0 else [])
    are, them = ("is", "it") if len(other) == 1 else ("are", "them")
    return (
        f"{target}: {listed(paths, 'and')} {are} there with another content, of another result or edited; nothing was "
        f"replaced. Give another folder, or delete {them} first"
    )


def _goes_on(done: Done, found: Mapping[str, Done]) -> bool:
    """Whether a training began with another model than the base model of its run."""
    data = found.get("data")
    return data is not None and done.manifest.inputs.get("model") != data.manifest.inputs.get("model")


def _why_not(what: str, content: list[FileEntry]) -> str:
    if what == "adapter":
        return ": method full makes none"
    if what == "model" and select(content, "adapter/"):
        return (
            ": its method trains virtual tokens before the prompt, which cannot be merged into a model. `sftjobs pull "
            "RUN adapter FOLDER` gets them; peft's PeftModel.from_pretrained(base model, FOLDER) answers with them"
        )
    return ""


def select(content: list[FileEntry], path: str) -> list[FileEntry]:
    """The entries below a folder (`path` ends in `/`) or the one with that path."""
    return [e for e in content if (e.path.startswith(path) if path.endswith("/") else e.path == path)]
