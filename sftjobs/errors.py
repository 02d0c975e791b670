"""What can go wrong, as one tree. A user's mistake is always one of these, never a bare traceback.

SftError                      exit 21 unless said otherwise
├── SpecError                 10  run.yaml, the prompt file or a flag: holds every problem at once
├── DataError                 10  a record, a label, an input file, a model folder
├── CheckpointError           11  a checkpoint that does not belong to this configuration
├── PeerError                 21  another rank is gone, and has the reason
├── BusyError                 23  somebody else holds the LEASE
└── StoreError                21  the store did not do what was asked
    ├── NotFoundError             the object does not exist
    ├── AlreadyExistsError        create-only write of something that exists with other content
    ├── ChangedError              conditional replace: somebody else wrote in between
    ├── DamagedError              size or digest of an object differs from what its manifest says
    └── StoreConfigError      10  credentials, permissions, no conditional writes: waiting will not help
"""

from dataclasses import dataclass

from sftjobs.names import Exit


class SftError(Exception):
    """Base of all errors with a message for the user. The text gives path, value, rule and the way out."""

    exit_code: Exit = Exit.INFRASTRUCTURE


@dataclass(frozen=True)
class Problem:
    """One mistake in a file that a person wrote."""

    file: str
    line: int | None
    path: str
    """Dotted path of the field, e.g. `train.micro_batch_size`."""
    message: str
    """Value, rule and way out."""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class SpecError(SftError):
    """Everything that is wrong with what the user wrote, all at once."""

    exit_code = Exit.BAD_CONFIG

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(p) for p in problems))


class DataError(SftError):
    """The data or a model given as input cannot be used; the message names file and line."""

    exit_code = Exit.BAD_CONFIG


class CheckpointError(SftError):
    """A checkpoint was made by another configuration."""

    way_out = "`sftjobs resume RUN --restart-stage STAGE` deletes it and begins at the first step"

    exit_code = Exit.BAD_CHECKPOINT


class PeerError(SftError):
    """Another rank cannot be reached: a complaint, and never the first failure."""


class BusyError(SftError):
    """A LEASE is held by somebody else."""

    exit_code = Exit.BUSY


class StoreError(SftError):
    """The store did not do what was asked; trying again may help."""


class NotFoundError(StoreError):
    """The object does not exist."""


class AlreadyExistsError(StoreError):
    """A create-only write met an object with other content."""


class ChangedError(StoreError):
    """A conditional replace met an object that somebody else changed or deleted."""


class DamagedError(StoreError):
    """An object is not what its manifest says. `key` names it."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


class StoreConfigError(StoreError):
    """The store cannot be used as configured; a person must change something."""

    exit_code = Exit.BAD_CONFIG
