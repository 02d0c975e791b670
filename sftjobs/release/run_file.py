"""A run.yaml for a cluster: nothing in it may be a path of somebody's machine."""

import os
import tempfile
from pathlib import Path

from sftjobs import names
from sftjobs.errors import Problem, SpecError
from sftjobs.objects.settings import store_in_cluster
from sftjobs.plan.facts import paths
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.spec.input_places import places
from sftjobs.spec.lines import dotted
from sftjobs.spec.load import Loaded, load
from sftjobs.spec.paths import read_text_file
from sftjobs.spec.places import is_local
from sftjobs.spec.run import StoreSpec
from sftjobs.spec.yaml_tree import parse
from sftjobs.store.base import Store
from sftjobs.store.open import S3_SCHEME, open_store

PUSH = "`sftjobs push run.yaml` uploads local inputs and writes a run.yaml without local paths"


def load_for_cluster(path: Path) -> Loaded:
    """A run.yaml that runs anywhere: inputs and store are not on this machine. Raises SpecError."""
    _refuse_prompt_path(path)
    loaded = load(path, check_files=False)
    problems = []
    store = loaded.spec.store
    assert isinstance(store, StoreSpec)
    if not store.uri.startswith(S3_SCHEME):
        message = f"{store.uri!r} is a folder of one machine; in a cluster the store is s3://bucket/prefix"
        problems.append(Problem(str(path), loaded.lines.of("store"), "store", message))
    found = places(loaded.spec)
    for name, value in paths(loaded.spec).items():
        if is_local(value):
            place = dotted(found[name]).removesuffix("model.path") or "model"
            message = f"{value!r} is a path of one machine; {PUSH}"
            problems.append(Problem(str(path), loaded.lines.of(place), place, message))
    if problems:
        raise SpecError(problems)
    return loaded


def load_text(text: bytes) -> Loaded:
    """The same for the content of a run.yaml: loaded from a file, as everywhere, so every message has its line."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, names.RUN_YAML).write_bytes(text)
        before = Path.cwd()
        os.chdir(folder)  # so that messages say run.yaml, not where it happens to be in this pod
        try:
            return load_for_cluster(Path(names.RUN_YAML))
        finally:
            os.chdir(before)


def open_in_cluster(loaded: Loaded, cluster: ClusterSpec) -> Store:
    """The store of a run as pods reach it. Raises StoreConfigError."""
    assert isinstance(loaded.spec.store, StoreSpec)
    return open_store(store_in_cluster(loaded.spec.store, cluster), loaded.folder)


def _refuse_prompt_path(path: Path) -> None:
    """Before loading: the file that it names is not there."""
    tree = parse(read_text_file(path, str(path), ""), str(path))
    prompt = tree.value.get("prompt") if isinstance(tree.value, dict) else None
    if isinstance(prompt, str):
        message = f"{prompt!r} is a file of one machine; {PUSH}, the prompt inside it"
        raise SpecError([Problem(str(path), tree.lines.of(("prompt",)), "prompt", message)])
