"""What a lint rule has found."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from sftjobs.spec.lines import Path, dotted
from sftjobs.spec.source import Source
from sftjobs.spec.words import shortened

Severity = Literal["error", "warning", "hint"]
"""`error`: the prompt cannot work as meant; `warning`: it very likely costs quality; `hint`: worth a look."""
_EXCERPT = 40  # characters


@dataclass(frozen=True)
class Finding:
    """One finding. `Finding(**found.as_json())` gives it back."""

    id: str
    """`P01` to `P18`."""
    severity: Severity
    path: str
    """Dotted path in the prompt file, e.g. `labels.refund`; empty for the whole file."""
    message: str
    """What was found, and why it matters."""
    fix: str
    """The way out."""
    start: int | None = None
    """First character of the span in the value at `path`, from 0; None if it is not about a span."""
    end: int | None = None
    """One behind the last character of the span."""
    excerpt: str = ""
    """The span, on one line."""
    file: str = ""
    """As the user named it; empty until `at`."""
    line: int | None = None
    """Of the key `path`, from 1."""

    def at(self, source: Source) -> "Finding":
        """The finding with file and line of a prompt that was written in `source`."""
        above = dotted(source.prefix)
        path = ".".join(part for part in (above, self.path) if part)
        return replace(self, path=path, file=source.file, line=source.lines.of(path))

    def as_json(self) -> dict[str, Any]:
        """All fields as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """On one line: `prompts/tickets.yaml:3: instruction: P12 hint: 'etc.' leaves open what is meant; list ...`."""
        line = "" if self.line is None else str(self.line)
        place = ": ".join(part for part in (":".join(filter(None, (self.file, line))), self.path) if part)
        said = f"{self.id} {self.severity}: {self.message}; {self.fix}"
        return f"{place}: {said}" if place else said


@dataclass(frozen=True)
class Part:
    """One text of the prompt file."""

    place: Path
    text: str

    def finding(
        self, rule: str, severity: Severity, message: str, fix: str, span: tuple[int, int] | None = None
    ) -> Finding:
        """A finding about this text, or about a span of it."""
        if span is None:
            return Finding(rule, severity, dotted(self.place), message, fix)
        excerpt = shortened(self.text[span[0] : span[1]], _EXCERPT)
        return Finding(rule, severity, dotted(self.place), message, fix, *span, excerpt)
