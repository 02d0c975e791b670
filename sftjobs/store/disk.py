"""The file-system steps under the folder store: durable temporary files, locks, and errors a person can act on."""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from io import BufferedRandom
from pathlib import Path

from sftjobs.errors import NotFoundError, SftError, StoreConfigError, StoreError
from sftjobs.store.keys import TEMPORARY

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM}
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextlib.contextmanager
def explained(root: Path, doing: str, key: str) -> Iterator[None]:
    """Turn an OSError of the body into an error of `sftjobs.errors` that says what to do. `doing`: e.g. `writing`."""
    try:
        yield
    except FileNotFoundError:
        raise NotFoundError(f"{root}: there is no object {key}") from None
    except OSError as error:
        raise _explain(error, root, doing, key) from error


@contextlib.contextmanager
def explained_local(target: Path) -> Iterator[None]:
    """Turn an OSError of the body, about the file or folder `target` outside the store, into an SftError."""
    try:
        yield
    except OSError as error:
        reason = f"the disk is full ({_free(target)})" if error.errno in _FULL else os.strerror(error.errno or 0)
        message = f"{target}: cannot be written: {reason}; run it again after that: what is complete is kept"
        raise SftError(message) from error


def _explain(error: OSError, root: Path, doing: str, key: str) -> StoreError:
    where = f"{root}: while {doing} {key}"
    if error.errno in _FULL:
        what = "the quota is used up" if error.errno == errno.EDQUOT else f"the disk is full ({_free(root)})"
        return StoreError(f"{where}: {what}; nothing that was committed is lost; make room and resume the run")
    if error.errno == errno.EFBIG:
        return StoreError(f"{where}: larger than the file system or `ulimit -f` allows; nothing committed is lost")
    if error.errno == errno.EROFS:
        return StoreConfigError(f"{where}: the file system is mounted read-only; choose another store or remount it")
    if error.errno in _REFUSED:
        way_out = f"user {os.geteuid()} needs to read, write and enter every folder of the store"
        return StoreConfigError(f"{where}: permission denied ({error.filename or root}); {way_out}")
    if error.errno in _NO_LOCKS:
        way_out = "keep the store on a file system that has flock, or use S3"
        return StoreConfigError(f"{where}: the file system has no file locks; {way_out}")
    if error.errno in (errno.ENOTDIR, errno.EEXIST) and not root.is_dir():
        return StoreConfigError(f"{root}: the store has to be a folder, and there is a file with this name")
    return StoreError(f"{where}: {os.strerror(error.errno) if error.errno else error} ({error.filename or root})")


def _free(root: Path) -> str:
    for folder in (root, *root.parents):
        with contextlib.suppress(OSError):
            return f"{shutil.disk_usage(folder).free // 2**20} MiB free"
    return "free space unknown"


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents, so that they survive a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Names that were added to `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary(folder: Path, fill: Callable[[BufferedRandom], object]) -> Iterator[Path]:
    """A complete, durable file in `folder` under a name that no listing shows; removed at the end if still there."""
    path, file = _new_file(folder)
    try:
        with file:
            fill(file)
            file.flush()
            # the clock of the file system ticks every few milliseconds; the etag needs a time of its own
            os.utime(file.fileno(), ns=(now := time.time_ns(), now))
            os.fsync(file.fileno())
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _new_file(folder: Path) -> tuple[Path, BufferedRandom]:
    """Somebody may remove the folder between making and using it, because it was empty: then it is made again."""
    while True:
        make_folder(folder)
        path = folder / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):
            return path, path.open("x+b")


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`; waits. The lock ends with the process, however it ends."""
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def etag(stat: os.stat_result) -> str:
    """Changes with every replacement: each one is a new file with a time of its own."""
    return f"{stat.st_mtime_ns:x}-{stat.st_ino:x}-{stat.st_size:x}"
