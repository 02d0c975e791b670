"""Bring the inputs of a stage to this machine, every byte verified against the digest in the plan."""

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sftjobs import names
from sftjobs.agent.cache import NodeCache
from sftjobs.artifact.digest import artifact_digest, hash_file
from sftjobs.artifact.stages import manifest_of
from sftjobs.artifact.transfer import fetch_tree, key_of
from sftjobs.errors import DamagedError, DataError
from sftjobs.plan.types import ArtifactRef, External, FileEntry, FinishedInput, StagePlan
from sftjobs.spec.places import STORE_SCHEME
from sftjobs.store.base import OnBytes, Store
from sftjobs.store.open import S3_SCHEME

OpenUri = Callable[[str], Store]
"""Opens `s3://bucket/prefix` with the credentials of the run's store."""
WAY_OUT = "plan the run again with `sftjobs run`, or restore the file"


def fetch_inputs(
    store: Store,
    open_uri: OpenUri,
    plan: StagePlan,
    folder: Path,
    on_bytes: OnBytes | None = None,
    run_id: str = "RUN",
    cache: NodeCache | None = None,
) -> None:
    """Make `folder/<name>` for every input; `run_id` is for the way out that a message names.

    Raises DataError (exit 10) if an input is damaged or is not what was planned: trying again would not help.
    """
    fetch = _Fetch(store, open_uri, on_bytes, run_id, cache)
    for name, item in sorted(plan.inputs.items()):
        target = folder / name
        target.mkdir()
        if item.artifact is not None:
            fetch.artifact(item.artifact, item, target, name)
        else:
            assert item.external is not None
            fetch.external(item.external, item, target, name)


def wanted(files: list[FileEntry], item: FinishedInput) -> list[FileEntry]:
    """The files of an input that the program needs, with paths relative to its `folder`."""
    start = f"{item.folder.strip('/')}/" if item.folder else ""
    below = [
        file.model_copy(update={"path": file.path.removeprefix(start)}) for file in files if file.path.startswith(start)
    ]
    if not item.include:
        return below
    return [file for file in below if any(fnmatch.fnmatchcase(file.path, pattern) for pattern in item.include)]


def _needed(files: list[FileEntry], item: FinishedInput, name: str) -> list[FileEntry]:
    needed = wanted(files, item)
    if not needed:
        patterns = ", ".join(item.include) or "any file"
        raise DataError(f"input {name}: the artifact has no file under {item.folder or '.'!r} that matches {patterns}")
    return needed


@dataclass(frozen=True)
class _Fetch:
    """Where inputs come from."""

    store: Store
    open_uri: OpenUri
    on_bytes: OnBytes | None
    run_id: str
    cache: NodeCache | None

    def artifact(self, artifact: ArtifactRef, item: FinishedInput, target: Path, name: str) -> None:
        prefix = names.incarnation_prefix(artifact.kind, artifact.key, artifact.incarnation) + names.CONTENT
        if item.folder:
            prefix = f"{prefix}/{item.folder.strip('/')}"
        try:
            manifest = manifest_of(self.store, artifact)
            if manifest.digest != artifact.digest:
                found = f"the artifact has digest {manifest.digest}, planned was {artifact.digest}"
                raise DataError(f"input {name}: {found}")
            self._tree(self.store, prefix, _needed(manifest.content, item, name), target)
        except DamagedError as damage:
            message = str(damage).replace("discard RUN STAGE", f"discard {self.run_id} {item.stage or 'STAGE'}")
            raise DataError(f"input {name}: {message}") from damage

    def external(self, external: External, item: FinishedInput, target: Path, name: str) -> None:
        files = _needed(external.files, item, name)
        try:
            if external.source.startswith(S3_SCHEME):
                self._from_s3(external, item, files, target)
            elif external.source.startswith(STORE_SCHEME):
                self._from_push(files, target)
            else:
                self._in_place(external, item, files, target, name)
        except DamagedError as damage:
            raise DataError(
                f"input {name}: {external.source} changed since the run was planned: {damage.key}; {WAY_OUT}"
            ) from damage

    def _tree(self, store: Store, prefix: str, files: list[FileEntry], target: Path) -> None:
        """What is on this machine is used where it is; the rest comes through the node cache, if there is one."""
        if self.cache is None or store.local_path(key_of(prefix, files[0])) is not None:
            fetch_tree(store, prefix, files, target, self.on_bytes)
            return
        missing = self.cache.take(files, target, self.on_bytes)
        fetch_tree(store, prefix, missing, target, self.on_bytes)
        self.cache.keep(missing, target, self.on_bytes)

    def _from_s3(self, external: External, item: FinishedInput, files: list[FileEntry], target: Path) -> None:
        """A folder, or a single object that is an input of its own name."""
        source = external.source.rstrip("/")
        if _is_single_file(external):
            source = source.rpartition("/")[0]
        if item.folder:
            source = f"{source}/{item.folder.strip('/')}"
        self._tree(self.open_uri(source), "", files, target)

    def _from_push(self, files: list[FileEntry], target: Path) -> None:
        """Pushed files are named by their content, so the same file is there once for all runs."""
        for file in files:
            place = target / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            self._tree(self.store, names.INPUTS, [file.model_copy(update={"path": file.sha256})], place.parent)
            (place.parent / file.sha256).rename(place)

    def _in_place(
        self, external: External, item: FinishedInput, files: list[FileEntry], target: Path, name: str
    ) -> None:
        """A file or folder of this machine is not copied; links lead to it."""
        source = Path(external.source)
        root = source.parent if _is_single_file(external) and not source.is_dir() else source / item.folder
        for file in files:
            original = root / file.path
            try:
                size, sha256 = hash_file(original, self.on_bytes)
            except OSError as error:
                raise DataError(f"input {name}: {original}: cannot be read: {error.strerror}; {WAY_OUT}") from None
            if (size, sha256) != (file.size, file.sha256):
                raise DataError(f"input {name}: {original} changed since the run was planned; {WAY_OUT}")
            link = target / file.path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(original.resolve())


def _is_single_file(external: External) -> bool:
    """A single file is known by its own SHA-256, a folder by the digest over its files."""
    return len(external.files) == 1 and external.digest != artifact_digest(external.files)
