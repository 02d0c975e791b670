"""What a path in run.yaml stands for: a place on this machine, on S3, on a hub, or an input pushed into the store."""

HUB = "hf://"
"""`hf://org/name@revision`: a model on the hub."""
HUB_DATA = "hf://datasets/"
"""`hf://datasets/org/name@revision`: a data set on the hub."""
STORE_SCHEME = "store:"
"""`store:<digest>/<name>`: what `sftjobs push` brought into the store."""


def is_local(path: str) -> bool:
    """True if `path` names something on this machine."""
    return "://" not in path and not path.startswith(STORE_SCHEME)


def hub_model(path: str) -> tuple[str, str] | None:
    """(org/name, revision) of a model on the hub, the revision empty if none is given; None for other paths."""
    if not path.startswith(HUB) or path.startswith(HUB_DATA):
        return None
    return _repository(path.removeprefix(HUB))


def hub_data(path: str) -> tuple[str, str] | None:
    """The same of a data set on the hub."""
    return _repository(path.removeprefix(HUB_DATA)) if path.startswith(HUB_DATA) else None


def _repository(text: str) -> tuple[str, str]:
    repository, _, revision = text.partition("@")
    return repository, revision
