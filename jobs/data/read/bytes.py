"""The bytes of a text file as UTF-8: decompressed, transcoded if the spec names another encoding, bounded in memory."""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import zstandard

CHUNK = 2**20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZSTD_CHUNK = 2**10
"""Compressed bytes per step: one step can make 32,768 times as many."""
MAX_RATIO = 200
LARGE = 2**30
"""Decompressed bytes from which MAX_RATIO counts: small files may compress as well as they like."""


class UnreadableError(Exception):
    """The file cannot be read, or not beyond this place; the message is for a person."""


def chunks(path: Path, encoding: str = "utf-8") -> Iterator[bytes]:
    """UTF-8 bytes of a file, in pieces. Raises UnreadableError, OSError.

    With another encoding than UTF-8 bytes are decoded strictly; UTF-8 is passed on as it is, for who reads it can name
    the line of a mistake.
    """
    raw = _decompressed(path)
    if encoding == "utf-8":
        yield from raw
        return
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    done = 0
    try:
        for piece in raw:
            yield decoder.decode(piece).encode("utf-8", "surrogatepass")
            done += len(piece)
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        place = f"byte 0x{error.object[error.start]:02x} near offset {done + error.start:,}"
        raise UnreadableError(f"{place} is not {encoding.upper()}, the encoding that run.yaml names") from None


def packing_of(path: Path) -> Literal["gzip", "zstd"] | None:
    """How a file is compressed: by its suffix, else by its first bytes, with which no text in UTF-8 begins."""
    with path.open("rb") as file:
        start = file.read(4)
    name = path.name.lower()
    if name.endswith(".gz") or start.startswith(_GZIP):
        return "gzip"
    return "zstd" if name.endswith(".zst") or start == _ZSTD else None


def _decompressed(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        packing = packing_of(path)
        if packing == "gzip":
            pieces = _gzip(file)
        elif packing == "zstd":
            pieces = _zstd(file)
        else:
            yield from iter(lambda: file.read(CHUNK), b"")
            return
        made = 0
        for piece in pieces:
            made += len(piece)
            read = max(1, file.tell())
            if made > LARGE and made > MAX_RATIO * read:
                raise UnreadableError(
                    f"{read:,} compressed bytes give more than {made:,}, {made // read:,} times as many; this looks "
                    f"like a decompression bomb (the limit is {MAX_RATIO}); decompress the file yourself if it is right"
                )
            yield from (piece[at : at + CHUNK] for at in range(0, len(piece), CHUNK))


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as opened:
            yield from iter(lambda: opened.read(CHUNK), b"")
    except EOFError:
        raise UnreadableError("the gzip file ends in the middle: was the copy cut short?") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableError(f"not a gzip file, or a damaged one: {error}") from None


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=2**27)
    frame = decompressor.decompressobj()
    begun = False
    try:
        while data := file.read(_ZSTD_CHUNK):
            while data:
                begun = True
                yield frame.decompress(data)
                data = frame.unused_data if frame.eof else b""
                if frame.eof:
                    frame, begun = decompressor.decompressobj(), False
    except zstandard.ZstdError as error:
        raise UnreadableError(f"not a Zstandard file, or a damaged one: {error}") from None
    if begun:
        raise UnreadableError("the Zstandard file ends in the middle: was the copy cut short?")
