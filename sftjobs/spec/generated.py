"""Files of the repository that are made from the models: write them, or check that they are up to date."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository, where this package is used from one."""


def outdated(files: dict[str, str]) -> list[str]:
    """Paths, relative to the repository, whose content is not what it should be."""
    return [path for path, text in files.items() if not _same(ROOT / path, text)]


def main(files: dict[str, str], command: str) -> int:
    """Write the files; with `--check`, only say which are not up to date and return 1."""
    if sys.argv[1:] not in ([], ["--check"]):
        print(f"usage: {command} [--check]", file=sys.stderr)
        return 2
    if not (ROOT / "pyproject.toml").is_file():
        print(f"{command}: only in a checkout of the repository", file=sys.stderr)
        return 2
    changed = outdated(files)
    if sys.argv[1:] == ["--check"]:
        for path in changed:
            print(f"{path} is not up to date: run `{command}`", file=sys.stderr)
        return 1 if changed else 0
    for path in changed:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(files[path], encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
