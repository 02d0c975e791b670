"""What was written, loaded and typed, with the places where it was written: what the rules look at."""

from dataclasses import dataclass
from pathlib import Path

from sftjobs.errors import Problem
from sftjobs.spec.lines import Lines, dotted
from sftjobs.spec.lines import Path as Place
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.run import ModelSpec, RunSpec, StoreSpec


@dataclass(frozen=True)
class Source:
    """A YAML file, or the part of one below `prefix`."""

    file: str
    """As the user named it."""
    lines: Lines
    prefix: Place = ()

    def problem(self, path: Place, message: str) -> Problem:
        """A problem with the value at `path` of this source."""
        full = self.prefix + path
        return Problem(self.file, self.lines.of(full), dotted(full), message)


@dataclass(frozen=True)
class Written:
    """A run spec whose shape is right."""

    spec: RunSpec
    """Model and store are their long forms; `prompt` is only right if `prompt_source` is not None."""
    folder: Path
    """What relative paths are relative to."""
    run: Source
    prompt_source: Source | None
    """Where the prompt was written; None if it could not be read."""
    prompt_path: str | None
    """The prompt file as written in run.yaml; None if the prompt is written in run.yaml itself."""
    output_format: str | None
    """The prompt's output format; None if it could not be read."""

    @property
    def prompt(self) -> PromptSpec:
        assert isinstance(self.spec.prompt, PromptSpec)
        return self.spec.prompt

    @property
    def model(self) -> ModelSpec:
        assert isinstance(self.spec.model, ModelSpec)
        return self.spec.model

    @property
    def store(self) -> StoreSpec:
        assert isinstance(self.spec.store, StoreSpec)
        return self.spec.store
