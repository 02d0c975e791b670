"""From what run.yaml says about the store to the store itself."""

from pathlib import Path

from sftjobs.errors import StoreConfigError
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store
from sftjobs.store.folder import FolderStore

S3_SCHEME = "s3://"


def open_store(spec: StoreSpec | str, base: Path) -> Store:
    """The store that `spec` names; a relative folder is relative to `base`. Nothing is read or written yet.

    Raises StoreConfigError if the URI cannot be a store or a variable with credentials is not set.
    """
    if isinstance(spec, str):
        spec = StoreSpec(uri=spec)
    if spec.uri.startswith(S3_SCHEME):
        from sftjobs.store.s3 import open_s3  # boto3 takes a third of a second to import

        return open_s3(spec)
    if "://" in spec.uri:
        raise StoreConfigError(f"store: {spec.uri!r} is neither a folder nor s3://bucket/prefix")
    if not spec.uri.strip():
        raise StoreConfigError("store: the name is empty; give a folder or s3://bucket/prefix")
    return FolderStore(base / Path(spec.uri).expanduser())
