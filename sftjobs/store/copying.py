"""Copy and compare files with bounded memory, hashing what passes."""

import fcntl
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Protocol

from sftjobs.store.base import OnBytes

CHUNK = 1 << 20
"""Bytes moved at a time."""
_FICLONE = 0x40049409
"""Linux ioctl: share the blocks of another file (btrfs, XFS); see ioctl_ficlone(2)."""


class Hash(Protocol):
    """What hashlib makes."""

    def update(self, data: memoryview, /) -> None: ...


def copy_hashed(source: BufferedReader, target: BufferedRandom, hashed: Hash, on_bytes: OnBytes | None) -> None:
    """Copy `source` to the empty file `target`, hashing the bytes; shares blocks where the file system can."""
    cloned = _clone(source, target)
    buffer = memoryview(bytearray(CHUNK))
    # after cloning, what arrived is read, not what was to be copied
    reader: BufferedReader | BufferedRandom = target if cloned else source
    while count := reader.readinto(buffer):
        hashed.update(buffer[:count])
        if not cloned:
            target.write(buffer[:count])
        if on_bytes is not None:
            on_bytes(count)


def _clone(source: BufferedReader, target: BufferedRandom) -> bool:
    try:
        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except OSError:
        return False
    return True


def same_content(one: Path, other: Path) -> bool:
    """True if both files hold the same bytes."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as a, other.open("rb") as b:
        while chunk := a.read(CHUNK):
            if chunk != b.read(len(chunk)):
                return False
    return True
