"""Where each value of a YAML file was written, so that every message can name a line."""

from collections.abc import Mapping

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file to a value."""


def dotted(path: Path) -> str:
    """The path as a person writes it: `data.tasks.intent.path`, `examples[0].output`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


class Lines:
    """Line numbers, from 1, of the values of one YAML file."""

    def __init__(self, lines: Mapping[Path, int]) -> None:
        self._lines = dict(lines)
        self._by_text = {dotted(path): line for path, line in lines.items()}

    def of(self, path: Path | str) -> int | None:
        """Line of a value, or of the nearest mapping around it that was written; None for an empty file."""
        if isinstance(path, str):
            while path and path not in self._by_text:
                path = path[: max(path.rfind("."), path.rfind("["), 0)]
            return self._by_text.get(path)
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)
