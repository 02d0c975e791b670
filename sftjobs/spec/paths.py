"""Files that a user names: read them, or say what is wrong with the name."""

import os
from pathlib import Path

from sftjobs.errors import Problem, SpecError
from sftjobs.spec.words import nearest

MAX_BYTES = 16 * 2**20
"""A spec or prompt file is small; anything larger is a mistake such as naming the data."""


def absolute(folder: Path, name: str) -> Path:
    """The path that `name`, relative to `folder` or beginning with `~`, stands for; links are not followed."""
    return Path(os.path.abspath(folder / os.path.expanduser(name)))  # noqa: PTH100, PTH111 (pathlib's may raise)


def missing(path: Path) -> str:
    """`not found`, with the nearest name that exists."""
    folder = path.parent
    if not folder.is_dir():
        return f"not found: the folder {folder} does not exist"
    try:
        there = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return "not found, and its folder cannot be read"
    near = nearest(path.name, there)
    if near:
        return f"not found; did you mean {near}?"
    if not there:
        return f"not found; the folder {folder} is empty"
    more = ", ..." if len(there) > 5 else ""
    return f"not found; the folder has {', '.join(there[:5])}{more}"


def read_text_file(path: Path, shown: str, way_out: str, named_at: Problem | None = None) -> bytes:
    """Content of a spec or prompt file. Raises SpecError, at the place that names the file if one is given."""

    def stop(message: str) -> SpecError:
        if named_at is None:
            return SpecError([Problem(shown, None, "", message)])
        return SpecError([Problem(named_at.file, named_at.line, named_at.path, f"{shown}: {message}")])

    hint = f"; {way_out}" if way_out else ""
    try:
        if path.is_dir():
            raise stop("is a folder, not a file" + hint)
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        found = missing(path)
        raise stop(f"{found} Else: {way_out}" if hint and found.endswith("?") else found + hint) from None
    except (OSError, ValueError) as error:
        raise stop(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(text) > MAX_BYTES:
        raise stop(f"larger than {MAX_BYTES // 2**20} MiB: is this the data?")
    return text
