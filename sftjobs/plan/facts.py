"""`resolve`: the only I/O of planning. Everything about the world that a plan depends on, as one value."""

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from sftjobs import runs
from sftjobs.errors import DataError, SftError
from sftjobs.plan import inputs, versions
from sftjobs.plan.committed import done_in
from sftjobs.plan.types import External, Facts, PreviousRun
from sftjobs.spec.input_places import places, value_at
from sftjobs.spec.lines import dotted
from sftjobs.spec.places import HUB, STORE_SCHEME, hub_data, hub_model, is_local
from sftjobs.spec.run import ModelSpec, RunSpec, StoreSpec
from sftjobs.spec.secret import FromEnv
from sftjobs.store.base import Store
from sftjobs.store.open import open_store

_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve(
    spec: RunSpec,
    folder: Path,
    store: Store,
    cache: Path | None = None,
    on_bytes: inputs.OnBytes | None = None,
) -> Facts:
    """Digests of all external inputs, versions, and the run to compare with.

    `folder`: what relative paths in the spec are relative to. `cache`: file that remembers digests of local files.
    Raises DataError (an input is missing or empty), StoreError, SpecError (libraries missing).
    """
    finder = _Finder(folder, store, cache, on_bytes, spec)
    externals = {name: finder.find(path) for name, path in paths(spec).items()}
    finder.save()
    facts = Facts(
        externals=externals,
        versions=versions.installed(),
        source_digest=versions.source_digest(),
        hub_commit=_model_commit(spec.model),
        data_commits=_data_commits(spec),
    )
    return facts.model_copy(update={"previous": previous_run(spec.eval.compare_to, store, facts)})


def paths(spec: RunSpec) -> dict[str, str]:
    """Input name -> path as written, for every external input of the spec; what is on a hub is no external input."""
    found = {name: str(value_at(spec, place)) for name, place in places(spec).items()}
    return {name: path for name, path in found.items() if not path.startswith(HUB)}


class _Finder:
    """Finds external inputs; remembers digests of what did not change."""

    def __init__(
        self, folder: Path, store: Store, cache: Path | None, on_bytes: inputs.OnBytes | None, spec: RunSpec
    ) -> None:
        self._folder = folder
        self._store = store
        self._local = inputs.DigestCache(cache)
        self._on_bytes = on_bytes
        self._open: Callable[[str], Store] = lambda uri: open_store(_like(spec.store, uri), folder)

    def find(self, path: str) -> External:
        if path.startswith(STORE_SCHEME):
            return inputs.pushed(path, self._store)
        if is_local(path):
            # made absolute without following links: the target of a symbolic link often has no telling name
            absolute = os.path.abspath(self._folder / Path(path).expanduser())  # noqa: PTH100
            return inputs.local(Path(absolute), self._local, self._on_bytes)
        return inputs.remote(path, self._open, inputs.DigestMemo(self._store), self._on_bytes)

    def save(self) -> None:
        self._local.save()


def _like(store: str | StoreSpec, uri: str) -> StoreSpec:
    """Another place of the same S3 server, with the same credentials."""
    if isinstance(store, StoreSpec) and store.uri.startswith("s3://"):
        return store.model_copy(update={"uri": uri})
    return StoreSpec(uri=uri)


def previous_run(name: str | None, store: Store, facts: Facts) -> PreviousRun | None:
    """The run to compare with; its train stage must be committed.

    Raises DataError if it is not, or if it left an adapter of another base model than that of `facts`.
    """
    if name is None:
        return None
    run_id = runs.find_run(store, name)
    done = done_in(store, run_id)
    tuned, data = done.get("train"), done.get("data")
    if tuned is None:
        raise DataError(
            f"eval.compare_to: run {run_id} has no tuned model yet; finish it with `sftjobs resume {run_id}`"
        )
    adapter = not any(file.path.startswith("model/") for file in tuned.manifest.content)
    if adapter and _base(runs.read_plan(store, run_id).facts) != _base(facts):
        raise DataError(
            f"eval.compare_to: run {run_id} left an adapter and no model, and its base model is another one than that "
            "of this run, which is not kept with it; compare with a run that left a model, or use its base model here"
        )
    return PreviousRun(run_id=run_id, model=tuned.ref, data=None if data is None else data.ref, adapter=adapter)


def _base(facts: Facts) -> tuple[str | None, str | None]:
    """What tells base models apart."""
    model = facts.externals.get("model")
    return None if model is None else model.digest, facts.hub_commit


def _model_commit(model: str | ModelSpec) -> str | None:
    """The commit that `hf://org/name@revision` means now; None for a model that is not on a hub."""
    assert isinstance(model, ModelSpec)
    on_hub = hub_model(model.path)
    if on_hub is None:
        return None
    return _commit("model", model.path, "models", on_hub, model.token, "model.token")


def _data_commits(spec: RunSpec) -> dict[str, str]:
    """The same for each input that is a data set on a hub."""
    commits = {}
    for name, place in places(spec).items():
        path = str(value_at(spec, place))
        on_hub = hub_data(path)
        if on_hub is not None:
            commits[name] = _commit(dotted(place), path, "datasets", on_hub, spec.data.hub_token, "data.hub_token")
    return commits


def _commit(where: str, path: str, kind: str, on_hub: tuple[str, str], secret: FromEnv | None, token_field: str) -> str:
    """A plan never depends on a name that can move."""
    repository, revision = on_hub
    if _COMMIT.fullmatch(revision):
        return revision
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    request = urllib.request.Request(f"{endpoint}/api/{kind}/{repository}/revision/{revision or 'main'}")
    token = os.environ.get(secret.env) if secret else None
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(json.load(response)["sha"])
    except urllib.error.HTTPError as error:
        way_out = f"check the name and revision; gated ones need {token_field}: {{env: NAME}}"
        raise DataError(f"{where}: {path}: the hub answers {error.code}; {way_out}") from None
    except (OSError, ValueError, KeyError) as error:
        way_out = f"give a full commit after '@' or check the network (HF_ENDPOINT is {endpoint})"
        raise SftError(f"{where}: {path}: cannot resolve the revision: {error}; {way_out}") from None
